"""The engine against SimPy on one small model: conversions a second, local and on Ray.

All sides run the same 128 VMs through the same conversions and must agree on their number and on
the sum of all completion times. Rounds are interleaved, and only the run itself is timed, not
building it or starting Ray: by processor time where all is in this process, else by wall clock.
"""

import gc
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import msgspec

from benchmarks import common
from benchmarks.drive import drive
from benchmarks.reference_model import MESSAGES, Shape, Tally
from benchmarks.reference_simpy import Populate, Rival
from benchmarks.reference_simpy_actors import lean_mailboxes, mailboxes
from benchmarks.reference_simpy_callbacks import callbacks
from benchmarks.reference_simpy_processes import resources, tight
from benchmarks.reference_world import build
from cluster import ray_partitions
from cluster.run import Executor, Fleet

LOCAL, RAY_1, RAY_2 = "gmemsim local", "gmemsim ray, 1 partition", "gmemsim ray, 2 partitions"
# From the one that is written as SimPy's documentation teaches actors that talk, to the one with the least in it.
RIVALS: dict[str, Populate] = {
    "SimPy mailboxes": mailboxes,
    "SimPy lean mailboxes": lean_mailboxes,
    "SimPy resources": resources,
    "SimPy tight processes": tight,
    "SimPy callbacks": callbacks,
}
# By the keys of the report; the like of an engine of actors is "simpy".
SIDES = {
    "gmemsim": LOCAL,
    "simpy": "SimPy mailboxes",
    **{name.lower().replace(" ", "_"): name for name in RIVALS},
}


class Contest:
    """The sides with what each came to."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self.plan = msgspec.msgpack.encode(shape)
        self.tallies: dict[str, Tally] = {}
        self.digests: dict[str, str] = {}

    def sides(self, with_ray: bool) -> dict[str, Callable[[], float]]:
        """Name -> one run, which returns its seconds."""
        found: dict[str, Callable[[], float]] = {
            LOCAL: lambda: self.engine(LOCAL, Executor("local")),
            **{name: partial(self.rival, name) for name in RIVALS},
        }
        if with_ray:
            found[RAY_1] = lambda: self.engine(RAY_1, Executor("ray", 1))
            found[RAY_2] = lambda: self.engine(RAY_2, Executor("ray", 2))
        return found

    def engine(self, name: str, executor: Executor) -> float:
        """gmemsim, as it is shipped."""
        clock = time.process_time if executor.name == "local" else time.perf_counter
        driven = drive(Fleet(build, self.plan, self.shape.hosts), executor, clock=clock)
        self.digests[name] = driven.digest
        self.tallies[name] = tally = Tally(**driven.census)
        assert driven.totals.events == MESSAGES * tally.conversions, "not 25 messages a conversion"
        return driven.seconds

    def rival(self, name: str) -> float:
        """In SimPy."""
        rival = Rival(RIVALS[name], self.shape)
        gc.collect()
        began = time.process_time()
        self.tallies[name] = rival.run()
        return time.process_time() - began

    def agreed(self) -> Tally:
        """The one tally of all sides."""
        tallies, digests = set(self.tallies.values()), set(self.digests.values())
        assert len(tallies) == 1, f"the sides did different work: {self.tallies}"
        assert len(digests) == 1, f"the executors differ: {self.digests}"
        return tallies.pop()


def measure(contest: Contest, rounds: int, with_ray: bool) -> dict[str, list[float]]:
    """Seconds of every run, by side."""
    if not with_ray:
        return common.interleaved(contest.sides(False), rounds)
    with ray_partitions.cluster(None, 2):
        return common.interleaved(contest.sides(True), rounds)


def row(name: str, seconds: list[float], local: list[float], tally: Tally) -> dict[str, Any]:
    """One side's figures; the ratio is taken round by round."""
    rates = [tally.conversions / taken for taken in seconds]
    middle, low, high = common.spread(rates)
    return {
        "side": name,
        "conversions/s": middle,
        "lowest": low,
        "highest": high,
        "messages/s": middle * MESSAGES,
        "us/message": 1e6 / (middle * MESSAGES),
        "time / gmemsim local": common.median_ratio(seconds, local),
    }


def rate(rows: Sequence[Mapping[str, Any]], name: str) -> float:
    """Conversions a second of one side: the median."""
    return next(float(row["conversions/s"]) for row in rows if row["side"] == name)


def faster(seconds: Mapping[str, Sequence[float]], rival: str) -> dict[str, float]:
    """How many times as fast as a rival, within each round: median and quartiles; and by the best rounds."""
    ours, theirs = seconds[LOCAL], seconds[rival]
    ratios = [a / b for a, b in zip(theirs, ours, strict=True)]
    low, middle, high = statistics.quantiles(ratios, method="inclusive")
    return {"median": middle, "low": low, "high": high, "of_minima": min(theirs) / min(ours)}


def main() -> None:
    parser = common.flags(__doc__)
    parser.add_argument("--rounds", type=int, default=10, help="at least 2")
    parser.add_argument("--conversions", type=int, default=100, help="of each of the 128 VMs")
    parser.add_argument("--no-ray", action="store_true")
    options = parser.parse_args()
    contest = Contest(Shape(conversions=options.conversions))
    seconds = measure(contest, options.rounds, not options.no_ray)
    tally = contest.agreed()
    rows = [row(name, taken, seconds[LOCAL], tally) for name, taken in seconds.items()]
    result = {
        "rounds": options.rounds,
        "model": msgspec.to_builtins(contest.shape),
        "agreed": tally._asdict(),
        "digest": contest.digests[LOCAL],
        "conversions_per_second": {key: rate(rows, name) for key, name in SIDES.items()},
        "times_as_fast_as": {name: faster(seconds, name) for name in RIVALS},
        "seconds": seconds,
        "rows": rows,
    }
    common.publish(result, rows, options.json)
    if not options.json:
        times = [{"times as fast as": name, **faster(seconds, name)} for name in RIVALS]
        print(f"\n{common.table(times)}")
        print(f"\nagreed by all sides: {tally}, digest {contest.digests[LOCAL]}")


if __name__ == "__main__":
    main()
