"""Runs behind the rows: a scenario from the defaults and some keys, one process, with a probe on its observations."""

import math
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from actors.contract import PAGE_BYTES
from cluster import run as engine
from cluster.drive import Unwatched
from cluster.run import Executor, Fleet, Outcome
from cluster.world import World
from workloads import scenario as scenarios
from workloads import simulate
from workloads.fleet import build
from workloads.plan import ENCODER
from workloads.validation.probe import Probe

SECOND_NS, US_NS = 1_000_000_000, 1_000

ONE_VM = ("fleet.hosts=1", "fleet.vms_per_host=1", "scenario.duration=24h")
BACK_TO_BACK = 'kind = "trace", pace = "back-to-back"'


class Run(NamedTuple):
    """One run: keys as for `--set`, and the text of a QEMU log where a trace is the load."""

    keys: tuple[str, ...]
    log: str = ""


@dataclass(frozen=True)
class Reading:
    """What a run came to."""

    probe: Probe
    outcome: Outcome

    @property
    def seconds(self) -> float:
        """Simulated, to the last event."""
        return self.outcome.totals.now / SECOND_NS

    @property
    def only(self) -> float:
        """Seconds of the one conversion."""
        (latency,) = self.probe.latencies
        return latency / SECOND_NS


class OutOfTimeError(Exception):
    """A run was stopped before its end, and says nothing."""


def perform(run: Run, keys: Sequence[str] = (), until: float = math.inf) -> Reading:
    """Run it with further keys (costs, seed); an OutOfTimeError where it takes too long."""
    with tempfile.TemporaryDirectory(prefix="gmemsim-") as folder:
        texts = [*ONE_VM, *run.keys, *keys]
        if run.log:
            log = Path(folder, "load.log")
            log.write_text(run.log)
            texts.append(f"workload.0={{{BACK_TO_BACK}, log = ['{log}']}}")
        job = simulate.prepare(scenarios.decode("", "validate", texts))
        probe = Probe()

        def probed(encoded: bytes, hosts: Sequence[int]) -> World:
            world = build(encoded, hosts)
            world.watchers = {**world.watchers, "probe": probe}
            return world

        fleet = Fleet(probed, ENCODER.encode(job.plan), job.plan.scenario.fleet.hosts)
        outcome = engine.run(
            fleet, Executor(), job.page, Unwatched(lambda: time.monotonic() >= until)
        )
        if not outcome.finished:
            raise OutOfTimeError
        return Reading(probe, outcome)


def converts(*ranges: tuple[int, int], to: str = "private_to_shared") -> str:
    """Lines of a log: conversions of (first byte, bytes)."""
    return "".join(
        f"kvm_convert_memory start {start:#x} size {size:#x} {to}\n" for start, size in ranges
    )


def slot(number: int, gpa: int, size: int, offset: int) -> str:
    """A line of a log: a memory slot on the log's one guest_memfd."""
    return (
        f"kvm_set_user_memory AddrSpace#0 Slot#{number} flags=0x4 gpa={gpa:#x} size={size:#x} "
        f"ua=0x7f0000000000 guest_memfd=20 guest_memfd_offset={offset:#x} ret=0\n"
    )


def pages(size: int) -> int:
    """Pages of so many bytes."""
    return size // PAGE_BYTES
