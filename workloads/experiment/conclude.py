"""An experiment's answer: figures of its analysis, the text with them in it, and whether they keep to the checks."""

import math
from collections.abc import Iterator
from typing import Any

from workloads import checks
from workloads.experiment.analyses import ANALYSES
from workloads.experiment.analyses.capacity import NONE
from workloads.experiment.analyses.contract import Evidence, Figure, Figures, point_figures
from workloads.experiment.analyses.pairs import paired
from workloads.experiment.measures import LIMITS
from workloads.experiment.tables import tables
from workloads.experiment.wanted import BRACES, EQUAL, template


def conclude(found: Evidence) -> tuple[dict[str, Any], list[dict[str, Any]], list[str]]:
    """(conclusion, rows of checks, what is not known): figures that have no value, checks that are left open."""
    experiment = found.experiment
    own = ANALYSES[experiment.conclusion.analysis].function(found)
    known = point_figures(found) | paired(found) | own
    text = template(experiment.conclusion.text)
    written = BRACES.findall(text)
    wanted = list(dict.fromkeys([*written, *experiment.checks]))
    missing = [name for name in wanted if known.get(name, Figure(None)).value is None]
    used = own | {name: known[name] for name in wanted if name in known}
    notes = dict.fromkeys(known[name].note for name in written if name in known)
    text = BRACES.sub(lambda match: known.get(match[1], Figure(None)).text, text)
    conclusion = {
        "analysis": experiment.conclusion.analysis,
        "text": " ".join(filter(None, (text.strip(), *notes))),
        "figures": {name: told(figure) for name, figure in used.items()},
        "tables": tables(experiment, known),
    }
    rows = [checked(name, limit, known) for name, limit in experiment.checks.items()]
    unknown = [f"no figure {name}: no run has it" for name in missing]
    return conclusion, rows, unknown + list(undecided(rows, known))


def told(figure: Figure) -> dict[str, Any]:
    """As JSON. An end that is open is None; "none" has none."""
    known = figure.interval and figure.interval.half is not None
    ends = (figure.interval.low, figure.interval.high) if figure.interval and known else None
    span = None if isinstance(figure.value, str) else figure.span
    low, high = span or ends or (None, None)
    return {
        "value": figure.value,
        "low": low,
        "high": high if high is not None and math.isfinite(high) else None,
        "unit": figure.unit,
        "text": figure.text,
    }


def checked(name: str, limit: str, known: Figures) -> dict[str, Any]:
    """A row, as of a run's [checks]; `ok` is None where it is not known."""
    figure = known.get(name, Figure(None))
    value = figure.text if figure.span else figure.value
    return {"name": name, "limit": limit, "value": value, "ok": within(figure, limit)}


def within(figure: Figure, limit: str) -> bool | None:
    """Does the figure keep to the limit? Texts are equal or not; None where it may be either."""
    if figure.value is None:
        return None
    sign, text = limit[:2], limit[2:].strip()
    if sign in EQUAL and (text == NONE or (not figure.span and isinstance(figure.value, str))):
        return (figure.value == text) == (sign == "==")
    sign, bound = checks.limit_of(limit, LIMITS[figure.unit])
    low, high = figure.ends
    some = {low, high, min(max(bound, low), high)}
    found = {checks.OPERATORS[sign](value, bound) for value in some}
    return found.pop() if len(found) == 1 else None


def undecided(rows: list[dict[str, Any]], known: Figures) -> Iterator[str]:
    """Checks that the runs leave open."""
    for row in rows:
        if row["ok"] is None and row["value"] is not None:
            yield f"check {row['name']}: {known[row['name']].text}, wanted {row['limit']}: not known"


def judged(rows: list[dict[str, Any]], figures: dict[str, Any]) -> list[str]:
    """Why checks of the conclusion failed."""
    return [
        f"check {row['name']}: {figures[row['name']]['text']}, wanted {row['limit']}"
        for row in rows
        if row["ok"] is False
    ]
