"""What the partitions of a run have seen, joined: the numbers behind summary, files and report."""

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from cluster.histogram import Histogram
from workloads.checkers import ANOMALIES, INVARIANTS
from workloads.checkers.inspector import FINDINGS_KEPT, place
from workloads.timeline import Row, joined

NS = 1_000_000_000
Labels = tuple[str, ...]
CHECKS = {check.id: check for check in INVARIANTS + ANOMALIES}


class Tally(NamedTuple):
    """Counters and histograms are by family and labels (workloads.meter), `found` is by id."""

    counters: Counter[Labels]
    histograms: dict[Labels, Histogram]
    bin_ns: int
    timeline: list[Row]
    found: Counter[str]
    findings: list[dict[str, Any]]
    unanswered: int

    def count(self, family: str, *labels: str) -> int:
        """All that was counted under a family and the first of its labels."""
        key = (family, *labels)
        return sum(n for found, n in self.counters.items() if found[: len(key)] == key)

    def histogram(self, family: str, *labels: str) -> Histogram:
        """The sum of the family's histograms that have all these labels."""
        total = Histogram()
        for found, histogram in self.histograms.items():
            if found[0] == family and set(labels) <= set(found):
                total.merge(histogram)
        return total


def tally(watched: Sequence[dict[str, Any]], protocol: str) -> Tally:
    """Of the watchers' words, one for each partition."""
    counters: Counter[Labels] = Counter()
    histograms: dict[Labels, Histogram] = {}
    found: Counter[str] = Counter()
    for word in watched:
        for *labels, count in word["meter"]["counters"]:
            counters[tuple(labels)] += count
        for *labels, packed in word["meter"]["histograms"]:
            histograms.setdefault(tuple(labels), Histogram()).merge(Histogram.unpack(packed))
        found.update(word["inspector"]["counts"])
    width, rows = joined(packed for word in watched for packed in word["meter"]["timelines"])
    return Tally(
        counters,
        histograms,
        width,
        rows,
        found,
        findings_of(watched, protocol),
        sum(word["inspector"]["unanswered"] for word in watched),
    )


def findings_of(watched: Sequence[dict[str, Any]], protocol: str) -> list[dict[str, Any]]:
    """Lines of anomalies.jsonl: the first of each kind, as many as one partition would keep."""
    kept: Counter[str] = Counter()
    lines: list[dict[str, Any]] = []
    for now, name, vm, op, text in sorted(f for w in watched for f in w["inspector"]["findings"]):
        kept[name] += 1
        if kept[name] <= FINDINGS_KEPT:
            lines.append(
                {
                    "time_seconds": now / NS,
                    "id": name,
                    "vm": place(vm),
                    "op": None if op < 0 else op,
                    "text": text,
                    "admitted": admitted(name, protocol),
                }
            )
    return lines


def meaning(name: str) -> str:
    """Of an id, in words; results may be of another version."""
    return CHECKS[name].meaning if name in CHECKS else "not known to this version"


def admitted(name: str, protocol: str) -> bool:
    """Does the protocol's own definition allow this finding?"""
    return name in CHECKS and protocol in CHECKS[name].admitted
