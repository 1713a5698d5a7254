"""What the parts of an experiment may not both say: one of them would be lost, or could not be told from the other."""

import itertools
from collections.abc import Iterator

from workloads.experiment.records import Axis, Experiment
from workloads.wording import quote

Breach = tuple[tuple[str, ...], str]


def clashes(experiment: Experiment) -> Iterator[Breach]:
    """Where, and what is wrong."""
    yield from hidden(experiment)


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


def keys_of(axis: Axis) -> dict[str, None]:
    """The scenario's keys that any of its values sets, in order."""
    return {key: None for choice in axis.choices for key, _ in choice.sets}
