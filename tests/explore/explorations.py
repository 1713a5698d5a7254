"""Small explorations for the tests: a shipped scenario with some keys changed, and what it shows."""

from functools import cache
from typing import NamedTuple

from cluster.explore import Exchange, Limits, Reduction, Search, Symmetry, passes
from cluster.faults import FAULT_POINTS
from workloads.adjust import adjusted
from workloads.explore.model import Model
from workloads.explore.properties import Property, answers, verdict_of
from workloads.scenario import load

NO_FAULTS = "fault=[]"
THERE = 'workload=[{kind="script",lanes=["share 0B+4KiB"]}]'  # and not back


@cache
def known(point, protocol="two-phase"):
    """One conversion to shared with a failure at this point: for tests that plant nothing."""
    return explored(THERE, at(point), protocol=protocol)


class Explored(NamedTuple):
    model: Model
    search: Search
    properties: dict[tuple[str, str], Property]
    verdict: str

    @property
    def shown(self):
        """Names of what must not be shown, and was."""
        return {
            name
            for (name, kind), each in self.properties.items()
            if each.shown and kind != "sometimes"
        }

    @property
    def answers(self):
        """What was shown and what was concluded, and where nothing more happens: whatever way there was found."""
        ends = {self.search.states[number] for number in self.search.ends}
        return {key: (p.shown, p.verdict) for key, p in self.properties.items()}, ends, self.verdict

    @property
    def counts(self):
        return self.search.distinct, self.search.generated, self.search.depth


def modelled(*overrides, protocol="two-phase", faults=1, patient=True, name="smallest"):
    scenario = adjusted(load(name, overrides, FAULT_POINTS), protocol).scenario
    return Model(scenario, faults, patient)


def explored(*overrides, reduced=False, exchanged=(), states=0, depth=0, **settings):
    model = modelled(*overrides, **settings)
    return looked_through(model, reduced, Limits(states, depth), exchanged)


def looked_through(model, reduced=False, limits=None, exchanged=()):
    """With orders left out, and with these places exchanged for each other."""
    system = model.system
    symmetry = Symmetry([Exchange(system, each) for each in exchanged]) if exchanged else None
    for search in passes(system, limits, Reduction(system) if reduced else None, symmetry):
        search.run()
    found = answers(model, search)
    properties: dict[tuple[str, str], Property] = {(each.name, each.kind): each for each in found}
    return Explored(model, search, properties, verdict_of(found, search))


def at(*points):
    """The scenario's faults: these points alone."""
    return "fault=[" + ",".join(f'{{point="{point}"}}' for point in points) + "]"
