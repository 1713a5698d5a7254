"""An experiment's answer: figures of its analysis, the text with them in it, and whether they keep to the checks."""

import re
from collections.abc import Iterator
from typing import Any

from workloads import checks
from workloads.errors import UsageError
from workloads.experiment.analyses import ANALYSES
from workloads.experiment.analyses.contract import Evidence, Figure, Figures, point_figures
from workloads.experiment.measures import LIMITS
from workloads.wording import nearest, quote

BRACES = re.compile(r"\{([^{}]+)\}")


def conclude(found: Evidence) -> tuple[dict[str, Any], list[dict[str, Any]], list[str]]:
    """(conclusion, rows of checks, what is missing): the last are figures that nothing had a value for."""
    experiment = found.experiment
    own = ANALYSES[experiment.conclusion.analysis].function(found)
    known = point_figures(found) | own
    # Whoever writes the text may break a line within a figure's name.
    template = BRACES.sub(lambda one: " ".join(one[0].split()), experiment.conclusion.text)
    wanted = [*BRACES.findall(template), *experiment.checks]
    missing = [
        name for name in dict.fromkeys(wanted) if known.get(name, Figure(None)).value is None
    ]
    used = own | {name: known[name] for name in wanted if name in known}
    text = BRACES.sub(lambda match: known.get(match[1], Figure(None)).text, template)
    conclusion = {
        "analysis": experiment.conclusion.analysis,
        "text": text.strip(),
        "figures": {name: told(figure) for name, figure in used.items()},
    }
    rows = [
        checked(experiment.where, name, limit, known) for name, limit in experiment.checks.items()
    ]
    return conclusion, rows, [missed(name, known) for name in missing]


def told(figure: Figure) -> dict[str, Any]:
    """As JSON."""
    ends = figure.interval if figure.interval and figure.interval.half is not None else None
    return {
        "value": figure.value,
        "low": ends.low if ends else None,
        "high": ends.high if ends else None,
        "unit": figure.unit,
        "text": figure.text,
    }


def checked(where: str, name: str, limit: str, known: Figures) -> dict[str, Any]:
    """A row, as of a run's [checks]. Texts are equal or not."""
    figure = known.get(name, Figure(None))
    try:
        ok = figure.value is not None and within(figure, limit)
    except ValueError as error:
        raise UsageError(f"{where}: checks.{name}: {error}") from None
    return {"name": name, "limit": limit, "value": figure.value, "ok": ok}


def within(figure: Figure, limit: str) -> bool:
    """Does the figure keep to the limit?"""
    if isinstance(figure.value, str):
        sign, text = limit[:2], limit[2:].strip()
        if sign not in ("==", "!="):
            raise ValueError(f"found {quote(limit)} for a text, expected == or != and the text")
        return (figure.value == text) == (sign == "==")
    sign, bound = checks.limit_of(limit, LIMITS[figure.unit])
    assert figure.value is not None
    return bool(checks.OPERATORS[sign](figure.value, bound))


def missed(name: str, known: Figures) -> str:
    """In words."""
    close = "" if name in known else nearest(name, known)
    return f"no figure {name}" + (f"; nearest: {close}" if close else "")


def judged(rows: list[dict[str, Any]]) -> Iterator[str]:
    """Why checks of the conclusion failed."""
    for row in rows:
        if not row["ok"] and row["value"] is not None:
            yield f"check {row['name']}: {row['value']}, wanted {row['limit']}"
