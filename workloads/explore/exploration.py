"""One exploration of a scenario under one protocol: the search, its answers, and the shortest counterexample."""

import math
import sys
import time
from dataclasses import dataclass
from typing import Any, NamedTuple

from cluster.explore import (
    Exchange,
    Limits,
    Reduction,
    Search,
    Symmetry,
    System,
    Unlike,
    passes,
)
from workloads import __version__
from workloads.explore.equal import candidates
from workloads.explore.model import Model
from workloads.explore.properties import (
    Property,
    Verdict,
    answers,
    length,
    plain,
    verdict_of,
    worst,
)
from workloads.explore.trace import trace_of

EVERY_SECONDS = 5.0


@dataclass
class Exploration:
    """What has come of it. `breach` is the counterexample, `shortest` says that there is no shorter one; `unlike` are
    exchanges that were tried, and why they are none."""

    model: Model
    search: Search
    properties: list[Property]
    verdict: Verdict
    seconds: float
    breach: Property | None
    shortest: bool
    unlike: list[str]

    @property
    def protocol(self) -> str:
        """Its name."""
        return self.model.scenario.protocol.name

    @property
    def reduction(self) -> str:
        """What was left out."""
        left_out = ["orders"] * bool(self.search.reduction) + ["exchanges"] * bool(
            self.search.symmetry
        )
        return " and ".join(left_out) or "none"

    @property
    def exchanged(self) -> list[str]:
        """What is equal, and was taken for each other."""
        symmetry = self.search.symmetry
        return [each.places.name for each in symmetry.exchanges] if symmetry else []


class Progress:
    """A line now and then on standard error; says when the time is up."""

    def __init__(self, limit: float | None, quiet: bool) -> None:
        self.began = self.told = time.monotonic()
        self.until = math.inf if limit is None else self.began + limit
        self.quiet = quiet

    def __call__(self, search: Search) -> bool:
        """Shall it go on?"""
        now = time.monotonic()
        if not self.quiet and search.looked and now - self.told >= EVERY_SECONDS:
            self.told = now
            waiting = search.distinct - search.looked
            states = f"{search.distinct:,} states, {waiting:,} of them to be looked at"
            print(f"explore: {states}, depth {search.depth}", file=sys.stderr, flush=True)
        return now < self.until


class LeaveOut(NamedTuple):
    """Orders that change nothing; states that differ by exchanges of what is equal."""

    orders: bool = True
    exchanges: bool = True


REDUCTIONS = {
    "all": LeaveOut(),
    "orders": LeaveOut(exchanges=False),
    "exchanges": LeaveOut(orders=False),
    "none": LeaveOut(False, False),
}
"""What --reduction may be."""


def explored(model: Model, limits: Limits, left_out: LeaveOut, progress: Progress) -> Exploration:
    """Every state within the limits; with a reduction, those that stand for all."""
    system, began = model.system, time.monotonic()
    search, unlike = searched(system, limits, left_out, progress)
    seconds = time.monotonic() - began
    properties = answers(model, search)
    verdict = verdict_of(properties, search)
    breach, shortest = worst(properties), True
    if breach and (search.reduction or search.symmetry):
        names = {p.name for p in properties if p.kind != "sometimes" and not p.admitted}
        breach, shortest = shortened(model, breach, names, limits, progress)
        properties = [breach if each.name == breach.name else each for each in properties]
    return Exploration(model, search, properties, verdict, seconds, breach, shortest, unlike)


def searched(
    system: System, limits: Limits, left_out: LeaveOut, progress: Progress
) -> tuple[Search, list[str]]:
    """The last search, which counts; and exchanges that were begun and given up, with why."""
    unlike: list[str] = []
    equal = list(candidates(system)) if left_out.exchanges else []
    while True:
        try:
            symmetry = Symmetry([Exchange(system, places) for places in equal]) if equal else None
            reduction = Reduction(system) if left_out.orders else None
            for search in passes(system, limits, reduction, symmetry):
                looked_through(search, progress)
        except Unlike as error:
            unlike.append(str(error))
            equal = [places for places in equal if places.name != error.exchange.places.name]
        else:
            return search, unlike


def looked_through(search: Search, progress: Progress) -> None:
    """Until a limit is reached; Ctrl-C is one."""
    try:
        search.run(progress)
    except KeyboardInterrupt:
        search.cut = "stopped"


def shortened(
    model: Model, breach: Property, names: set[str], limits: Limits, progress: Progress
) -> tuple[Property, bool]:
    """The breach (one of these names) with the fewest moves in any order; and were all with fewer looked at?"""
    search = Search(model.system, Limits(limits.states, length(breach) - 1))
    try:
        search.run(lambda each: progress(each) and not each.shown.keys() & names, every=1)
    except KeyboardInterrupt:
        search.cut = "stopped"
    shorter = worst(answers(model, search))
    return shorter or breach, shorter is not None or search.cut in ("", "depth")


def document(found: Exploration) -> dict[str, Any]:
    """What --json prints."""
    search, scenario = found.search, found.model.scenario
    system = found.model.system
    return {
        "verdict": found.verdict,
        "scenario": scenario.scenario.name,
        "protocol": found.protocol,
        "reduction": found.reduction,
        "exchanged": found.exchanged,
        "unlike": found.unlike,
        "distinct": search.distinct,
        "generated": search.generated,
        "depth": search.depth,
        "whole": search.whole,
        "cut": search.cut,
        "faults": system.faults,
        "properties": [
            plain(each, trace_of(system, each.way) if each.way else None)
            for each in found.properties
        ],
        "engine": {
            "wall_seconds": found.seconds,
            "states_per_second": search.looked / max(found.seconds, 1e-9),
        },
        "versions": {"gmemsim": __version__},
    }
