"""One run, from a scenario to what it came to. Writes nothing and prints nothing."""

import itertools
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from actors.address import GMEMS_MAX
from actors.slots import Slot
from cluster import run as engine
from cluster.checkpoint import BadCheckpointError
from cluster.costs import floor_of
from cluster.drive import Listener
from cluster.keeping import Saved, key_of
from cluster.lasting import LossError
from cluster.placement import PlacementError
from cluster.run import Executor, Fleet, Kept, LostRunError, Outcome, unpack
from workloads import arrivals, cost_table
from workloads.census import complete
from workloads.code_version import code_version
from workloads.errors import LostError, UsageError
from workloads.fleet import build
from workloads.loads.trace import PAGE_RECORDS
from workloads.plan import ENCODER, LogShape, Plan
from workloads.scenario import Engine, Scenario, Trace
from workloads.trace.spool import HUGE_PAGE, TraceLog, read_logs
from workloads.weights import weights
from workloads.wording import printable

__all__ = ["Job", "Outcome", "key", "prepare", "run", "unpack"]

PAGE = 4096
SECOND_NS = 1_000_000_000


class HaltedError(LostError):
    """With what had come of it by then."""

    def __init__(self, text: str, outcome: Outcome, trace: str) -> None:
        super().__init__(text, trace)
        self.outcome = outcome


@dataclass
class Job:
    """A scenario ready to run: its plan, and the spools of the traces that it names."""

    plan: Plan
    logs: list[TraceLog]

    def page(self, source: int, number: int) -> bytes:
        """Records of a spool (cluster.drive.Pages)."""
        return self.logs[source].page(number * PAGE_RECORDS, PAGE_RECORDS)


def prepare(scenario: Scenario, max_damaged: int | None = None) -> Job:
    """Look up everything that the scenario names; a mistake in it is a UsageError."""
    logs: list[TraceLog] = []
    shapes: list[tuple[LogShape, ...]] = []
    for workload in scenario.workload:
        found = read_logs(workload.log, max_damaged) if isinstance(workload, Trace) else ()
        shapes.append(tuple(log_shape(log, len(logs) + n) for n, log in enumerate(found)))
        logs += found
    costs = cost_table.load(scenario.costs.model, scenario.costs.override)
    return Job(Plan(scenario, costs, tuple(shapes), arrivals.read(scenario)), logs)


def again(job: Job, scenario: Scenario) -> Job:
    """The job with other values in its scenario; its logs and costs, which have been read, stay."""
    before = job.plan.scenario
    assert (scenario.workload, scenario.costs) == (before.workload, before.costs), "read anew"
    return Job(msgspec.structs.replace(job.plan, scenario=scenario), job.logs)


def log_shape(log: TraceLog, source: int) -> LogShape:
    """The VM that a log tells of; where it names no slot, memory grows to the highest conversion."""
    slots = tuple(
        Slot(slot.gpa // PAGE, slot.size // PAGE, slot.inode, slot.offset // PAGE)
        for slot in log.slots
    )
    modelled(log.name, slots)
    whole = -(-log.highest_end // HUGE_PAGE) * HUGE_PAGE // PAGE
    return LogShape(
        source, slots or (Slot(0, whole, 0, 0),), log.vcpus, log.conversions, log.has_times
    )


def modelled(name: str, slots: Sequence[Slot]) -> None:
    """Refuse memory layouts that would be simulated wrongly."""
    files = {slot.gmem for slot in slots}
    if len(files) > GMEMS_MAX:
        raise UsageError(f"{name}: {len(files)} guest_memfd files in one VM, at most {GMEMS_MAX}")
    for file in files:
        parts = sorted((slot.index, slot.pages) for slot in slots if slot.gmem == file)
        for (index, pages), (following, _) in itertools.pairwise(parts):
            if index + pages > following:
                raise UsageError(
                    f"{name}: two memory slots on the same pages of one guest_memfd (aliased or "
                    "moved), expected slots on pages of their own"
                )


def fleet_of(plan: Plan) -> Fleet:
    """Hosts talk where VMs arrive, over a network whose delay is the lookahead."""
    costs = {cost.name: cost for cost in plan.costs}
    lookahead = floor_of(costs, "network") if plan.arrives else None
    hosts = plan.scenario.fleet.hosts
    return Fleet(build, ENCODER.encode(plan), hosts, lookahead, weights(plan))


def key(job: Job) -> bytes:
    """Names the job and the code that runs it: a checkpoint fits no other. How it is executed is no part of it."""
    scenario = msgspec.structs.replace(job.plan.scenario, engine=Engine())
    plan = ENCODER.encode(msgspec.structs.replace(job.plan, scenario=scenario))
    return key_of(plan, code_version())


def run(
    job: Job,
    listener: Listener,
    address: str | None = None,
    path: Path | None = None,
    saved: Saved | None = None,
) -> Outcome:
    """Run to the end, or until the listener stops it; checkpoints go to `path`, `saved` is one to go on from."""
    scenario = job.plan.scenario
    how = scenario.engine
    executor = Executor(
        how.executor,
        how.partitions,
        how.placement,
        address,
        how.checkpoint_interval / SECOND_NS,
        how.yield_after / SECOND_NS,
        how.pace,
    )
    fleet = fleet_of(job.plan)
    try:
        outcome = engine.run(fleet, executor, job.page, listener, Kept(path, key(job), saved))
    except PlacementError as error:
        raise UsageError(f"engine.placement: {error}") from None
    except BadCheckpointError as error:
        raise UsageError(f"{printable(str(path))}: {printable(str(error))}") from None
    except LostRunError as error:
        error.outcome.census = complete(error.outcome.census)
        text = f"{error}{to_go_on(path)}"
        raise HaltedError(text, error.outcome, error.loss.trace) from error.loss.__cause__
    except LossError as error:
        raise LostError(str(error), error.trace) from error.__cause__
    outcome.census = complete(outcome.census)
    return outcome


def to_go_on(path: Path | None) -> str:
    """What can be made of a run that ended for what it lost."""
    if not (path and path.exists()):
        return ""
    return (
        f"; `gmemsim resume {shlex.quote(str(path.parent))}` goes on from its last checkpoint, "
        "in one process with --executor local; --time-limit 1ns only writes the results until then"
    )
