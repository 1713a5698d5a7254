"""The same scenario in two partitions: whatever happens, its digest has to be that of one process."""

import msgspec

from cluster import run as engine
from cluster.drive import Unwatched
from cluster.run import Executor
from workloads import simulate
from workloads.scenario import Scenario
from workloads.swarm.trial import Failure, Found, plain

PARTITIONS = 2
# Whole hosts on Ray if there is one, and by turns hosts in pieces. Those talk in windows of a link each, which only a
# process of its own goes through in good time, and not those of a long run.
PACKED, PIECES = "packed", "kind"
EVENTS_MAX = 50_000


def differs(
    scenario: Scenario, found: Found, executor: str, address: str | None, turn: int
) -> Failure | None:
    """Run it again in two partitions; tells where it comes to another digest."""
    pieces = bool(turn % 2) and found.events <= EVENTS_MAX
    placement = PIECES if pieces else PACKED
    how = Executor("ray", PARTITIONS, placement, address)
    run = on_ray if executor == "ray" and not pieces else in_pieces
    other = run(plain(scenario), how)
    if other == found.digest:
        return None
    where = f"{PARTITIONS} partitions, placement {placement}"
    return Failure("digest", (placement,), (f"{where}: {other}, expected {found.digest}",))


def on_ray(scenario: Scenario, how: Executor) -> str:
    """Its digest."""
    settings = msgspec.structs.replace(
        scenario.engine, executor="ray", partitions=how.partitions, placement=how.placement
    )
    job = simulate.prepare(msgspec.structs.replace(scenario, engine=settings))
    return simulate.run(job, Unwatched(), how.address).digest


def in_pieces(scenario: Scenario, how: Executor) -> str:
    """Its digest."""
    job = simulate.prepare(scenario)
    fleet = simulate.fleet_of(job.plan)
    return engine.run_on(fleet, how, engine.in_this_process, job.page, Unwatched()).digest
