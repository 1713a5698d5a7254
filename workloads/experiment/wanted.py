"""Figures that an experiment's text and checks ask for, looked at before anything is run."""

import re
from collections.abc import Iterator, Sequence

from workloads import checks
from workloads.experiment import paths
from workloads.experiment.analyses import ANALYSES
from workloads.experiment.analyses.capacity import NONE
from workloads.experiment.analyses.contract import Kind, kinds, point_figures
from workloads.experiment.analyses.pairs import paired
from workloads.experiment.analyses.probe import probe
from workloads.experiment.clashes import Breach
from workloads.experiment.measures import LIMITS
from workloads.experiment.points import candidates, shown
from workloads.experiment.records import Experiment
from workloads.experiment.tables import names, places, rows_of
from workloads.scenario import Scenario
from workloads.wording import nearest, quote

BRACES = re.compile(r"\{([^{}]*)\}")
EQUAL = ("==", "!=")


def template(text: str) -> str:
    """Whoever writes the text may break a line within a figure's name."""
    return BRACES.sub(lambda one: " ".join(one[0].split()), text)


def nowhere(experiment: Experiment, scenarios: Sequence[Scenario]) -> Iterator[Breach]:
    """Paths of measures, and names of an objective, that no point's runs can have."""
    for index, measure in enumerate(experiment.measures):
        for key in ("path", "per"):
            told = paths.lacks(getattr(measure, key), scenarios)
            if told:
                yield ("measure", str(index), key), told
    for name in experiment.objective:
        told = paths.lacks(name, scenarios)
        if told:
            yield ("search", "objective"), told


def refused(experiment: Experiment) -> Iterator[Breach]:
    """Figures that there cannot be, and limits that do not fit what they are of."""
    made_up = probe(experiment)
    own = ANALYSES[experiment.conclusion.analysis].function(made_up)
    known, points = kinds(own | paired(made_up)), kinds(point_figures(made_up))
    tried = {shown(value) for value in candidates(experiment.search)} if experiment.search else {""}
    for name in BRACES.findall(template(experiment.conclusion.text)):
        if not kind_of(name, known, points, tried):
            hint = close(name, [*known, *points])
            yield (
                ("conclusion", "text"),
                f"found {quote(f'{{{name}}}')}, which is no figure; {hint}",
            )
    for index, table in enumerate(experiment.tables):
        for place in places(rows_of(experiment, table)):
            for name in names(experiment, table, place):
                if not kind_of(name, known, points, tried):
                    told = (
                        f"found {quote(name)}, which is no figure; {close(name, [*known, *points])}"
                    )
                    yield ("table", str(index), "of"), told
    for name, limit in experiment.checks.items():
        kind = kind_of(name, known, points, tried)
        if not kind:
            yield ("checks", name), f"no such figure; {close(name, [*known, *points])}"
            continue
        wrong = unfit(limit, kind)
        if wrong:
            yield ("checks", name), wrong


def kind_of(name: str, known: dict[str, Kind], points: dict[str, Kind], tried: set[str]) -> str:
    """What the figure of this name is; "" of none. A point of a search ends in the value that was tried."""
    if name in known:
        return known[name]
    if tried == {""}:
        return points.get(name, "")
    point, _, value = name.rpartition(" ")
    return points.get(point, "") if value in tried else ""


def unfit(limit: str, kind: str) -> str:
    """Why nothing of this kind can be held against the limit; "" if it can."""
    sign, text = limit[:2], limit[2:].strip()
    if kind == "answer" and sign in EQUAL and text == NONE:
        return ""
    if kind == "text":
        told = f"found {quote(limit)} for a text, expected == or != and the text"
        return "" if sign in EQUAL else told
    try:
        checks.limit_of(limit, LIMITS.get(kind, "number"))
    except ValueError as error:
        return str(error)
    return ""


def close(name: str, names: list[str]) -> str:
    """The nearest name, or some."""
    found = nearest(name, names)
    some = f"expected one such as {', '.join(names[:3])}" if names else "there is none"
    return f"nearest: {found}" if found else some
