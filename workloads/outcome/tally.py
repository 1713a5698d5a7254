"""What the partitions of a run have seen, joined: the numbers behind summary, files and report."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from cluster.histogram import Histogram
from workloads import queues
from workloads.checkers import ANOMALIES, INVARIANTS
from workloads.checkers.admitted import admits
from workloads.checkers.inspector import FINDINGS_KEPT, Finding, place
from workloads.fleet_meter import until_up
from workloads.outcome.settings import Settings
from workloads.settling import Settled, settled
from workloads.timeline import Row, joined

NS = 1_000_000_000
Labels = tuple[str, ...]
Place = tuple[int, int]
"""A rule of the fault plan, and the place of a point among its points."""
CHECKS = {check.id: check for check in INVARIANTS + ANOMALIES}


class Tally(NamedTuple):
    """Counters and histograms are by family and labels (workloads.meter), `found` is by id.

    `opportunities` and `struck` are those of the fault plan (cluster.faults).
    """

    counters: Counter[Labels]
    histograms: dict[Labels, Histogram]
    bin_ns: int
    timeline: list[Row]
    found: Counter[str]
    findings: list[dict[str, Any]]
    open: Counter[str]
    opportunities: Counter[Place]
    struck: Counter[Place]
    last_answer: int  # ns
    queues: dict[str, dict[str, int]]  # by resource (workloads.queues)
    until_up: Histogram  # of VMs that were asked for (workloads.fleet_meter), once a run is over
    settled: (
        Settled | None
    )  # where the beginning's latencies are to be left out, once a run is over
    latencies: dict[
        Labels, Histogram
    ]  # by direction and outcome: of conversions, without what is left out

    def count(self, family: str, *labels: str) -> int:
        """All that was counted under a family and the first of its labels."""
        key = (family, *labels)
        return sum(n for found, n in self.counters.items() if found[: len(key)] == key)

    def histogram(self, family: str, *labels: str) -> Histogram:
        """The sum of the family's histograms that have all these labels."""
        return summed(
            h for key, h in self.histograms.items() if key[0] == family and {*labels} <= {*key}
        )

    def latency(self, *labels: str) -> Histogram:
        """The sum of the latencies that have all these labels."""
        return summed(h for key, h in self.latencies.items() if {*labels} <= {*key})


def summed(histograms: Iterable[Histogram]) -> Histogram:
    """All in one."""
    total = Histogram()
    for histogram in histograms:
        total.merge(histogram)
    return total


def tally(
    watched: Sequence[Mapping[str, Any]],
    protocol: str,
    finished: bool = True,
    settings: Settings | None = None,
) -> Tally:
    """Of the watchers' words, one for each partition. What is `open` in a run that is not finished may still end.

    `settings` decide what the protocol admits; without them, whatever it admits under any.
    """
    counters: Counter[Labels] = Counter()
    histograms: dict[Labels, Histogram] = {}
    found: Counter[str] = Counter()
    still: Counter[str] = Counter()
    opportunities: Counter[Place] = Counter()
    struck: Counter[Place] = Counter()
    for word in watched:
        for *labels, count in word["meter"]["counters"]:
            counters[tuple(labels)] += count
        for *labels, packed in word["meter"]["histograms"]:
            histograms.setdefault(tuple(labels), Histogram()).merge(Histogram.unpack(packed))
        found.update(word["inspector"]["counts"])
        counters["guest_faults",] += word["inspector"]["guest_faults"]
        still.update(word["inspector"]["open"] if finished else {})
        for rule, at, met, failed in word["faults"]:
            opportunities[rule, at] += met
            struck[rule, at] += failed
    width, rows = joined(packed for word in watched for packed in word["meter"]["timelines"])
    return Tally(
        counters,
        histograms,
        width,
        rows,
        found,
        findings_of(watched, protocol, finished, settings),
        still,
        opportunities,
        struck,
        max((word["meter"]["last_answer"] for word in watched), default=0),
        queues.joined(word.get("queues", {}) for word in watched),
        until_up(word["meter"] for word in watched),
        *latencies(watched, histograms),
    )


def latencies(
    watched: Sequence[Mapping[str, Any]], histograms: Mapping[Labels, Histogram]
) -> tuple[Settled | None, dict[Labels, Histogram]]:
    """Of conversions, by direction and outcome; and what was left out, where that was asked for."""
    if words := [word["settling"] for word in watched if word.get("settling")]:
        return settled(words)
    return None, {key[-2:]: h for key, h in histograms.items() if key[0] == "conversion_latency"}


def findings_of(
    watched: Sequence[Mapping[str, Any]], protocol: str, finished: bool, settings: Settings | None
) -> list[dict[str, Any]]:
    """Lines of anomalies.jsonl."""
    return [
        {
            "time_seconds": now / NS,
            "id": name,
            "vm": place(vm),
            "op": None if op < 0 else op,
            "text": text,
            "admitted": admitted(name, protocol, settings),
            "story": story[0] if story else [],
        }
        for now, name, vm, op, text, *story in kept(watched, finished)
    ]


def kept(watched: Sequence[Mapping[str, Any]], finished: bool) -> Iterator[Finding]:
    """The first findings of each kind, as many as one partition would keep."""
    so_far: Counter[str] = Counter()
    kinds = ("findings", "open_findings") if finished else ("findings",)
    for found in sorted(f for word in watched for kind in kinds for f in word["inspector"][kind]):
        so_far[found[1]] += 1
        if so_far[found[1]] <= FINDINGS_KEPT:
            yield found


def meaning(name: str) -> str:
    """Of an id, in words; results may be of another version."""
    return CHECKS[name].name if name in CHECKS else "not known to this version"


def admitted(name: str, protocol: str, settings: Settings | None = None) -> bool:
    """Does the protocol's own definition allow this finding, with these settings?"""
    return name in CHECKS and admits(name, protocol, settings)
