"""What several analyses do with their options: names that must be known, numbers, rows by what an axis leaves open."""

from collections.abc import Sequence

from workloads.errors import UsageError
from workloads.experiment.analyses.contract import Evidence
from workloads.experiment.points import shown
from workloads.experiment.rows import Row
from workloads.wording import found as quoted
from workloads.wording import suggestion

MISSING = object()


def known(found: Evidence, option: str, names: Sequence[str], value: object = MISSING) -> str:
    """The option's text, or this part of it, which has to be one of these; UsageError where it is not."""
    given = found.options.get(option, "") if value is MISSING else value
    if isinstance(given, str) and given in names:
        return given
    where = f"{found.experiment.where}: conclusion.options.{option}"
    hint = suggestion(given if isinstance(given, str) else "", tuple(names))
    raise UsageError(f"{where}: found {quoted(given)}; {hint}")


def number(found: Evidence, option: str, default: float) -> float:
    """The option's number; UsageError where it is none."""
    given = found.options.get(option, default)
    if isinstance(given, bool) or not isinstance(given, int | float):
        where = f"{found.experiment.where}: conclusion.options.{option}"
        raise UsageError(f"{where}: found {quoted(given)}, expected a number")
    return given


def named(found: Evidence, axis: str) -> dict[str, list[Row]]:
    """Rows by their places on all axes but this one, in words; "all" where there is no other."""
    rows: dict[str, list[Row]] = {}
    for row in found.rows:
        if not row.relieved:
            others = [shown(value) for name, value in row.place.items() if name != axis]
            rows.setdefault(" ".join(others) or "all", []).append(row)
    return rows
