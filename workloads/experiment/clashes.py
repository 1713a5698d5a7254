"""What the parts of an experiment may not both say: one of them would be lost, or could not be told from the other."""

import itertools
from collections.abc import Iterator

from workloads.experiment.records import Axis, Experiment
from workloads.outcome.sweep_table import ENDS, OWN
from workloads.wording import quote

SEED = "scenario.seed"
COSTS = "costs.override"
Breach = tuple[tuple[str, ...], str]


def clashes(experiment: Experiment) -> Iterator[Breach]:
    """Where, and what is wrong."""
    yield from hidden(experiment)
    yield from relieved(experiment)
    yield from columns(experiment)


def hidden(experiment: Experiment) -> Iterator[Breach]:
    """A key that a later axis, or the search, sets anew: what the earlier one says of it is lost."""
    varied = [(f"axis {quote(axis.name)}", keys_of(axis)) for axis in experiment.axes]
    if experiment.search:
        varied.append(("[search]", {experiment.search.key: None}))
    for (before, early), (after, late) in itertools.combinations(varied, 2):
        for key, other in itertools.product(early, late):
            if f"{key}.".startswith(f"{other}."):
                text = f"found {key} in {before} and {other} in {after}, expected each key once"
                yield ("search", "key") if after == "[search]" else ("axis",), text


def relieved(experiment: Experiment) -> Iterator[Breach]:
    """A key that is searched, and set to relieve a resource: the search would set it anew."""
    search = experiment.search
    for resource, how in experiment.relief.items():
        for key in (*(f"{COSTS}.{cost}" for cost in how.costs), *(key for key, _ in how.sets)):
            if search and f"{key}.".startswith(f"{search.key}."):
                name = key.removeprefix(f"{COSTS}.")
                text = f"found {name}, which [search] varies as {search.key}; expected another"
                yield ("search", "relieve", resource), text


def columns(experiment: Experiment) -> Iterator[Breach]:
    """Two of one name in points.csv, beside two axes or two measures, which are told already."""
    places = [axis.name for axis in experiment.axes]
    places += [experiment.search.title] if experiment.search else []
    own = "a column of every sweep"
    for name in places:
        if name in OWN:
            yield ("axis",), f"found {quote(name)}, which is {own}; expected another name"
    before = dict.fromkeys(places, "an axis") | dict.fromkeys(OWN, own)
    for index, measure in enumerate(experiment.measures):
        for end in ENDS:
            name = f"{measure.name}{end}"
            if name in before:
                text = f"found {quote(name)}, which is {before[name]}; expected another name"
                yield ("measure", str(index), "name"), text
        before |= {f"{measure.name}{end}": "a column of another measure" for end in ENDS}


def varies_seed(experiment: Experiment) -> bool:
    """Does an axis or the search set what several seeds of a point set as well?"""
    keys = {key for axis in experiment.axes for key in keys_of(axis)}
    keys |= {experiment.search.key} if experiment.search else set()
    return bool(keys & {SEED, "scenario"})


def keys_of(axis: Axis) -> dict[str, None]:
    """The scenario's keys that any of its values sets, in order."""
    return {key: None for choice in axis.choices for key, _ in choice.sets}
