"""`--cost NAME=VALUE`: another value for an entry of the cost table, given outright or as a change in percent."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from workloads import cost_table
from workloads.errors import UsageError
from workloads.scenario import Costs
from workloads.units import format_duration, parse_duration
from workloads.wording import quote, suggestion

_CHANGE = re.compile(r"([+-])([0-9]{1,6}(?:\.[0-9]{1,6})?)%")
EXAMPLE = "NAME=VALUE such as kick_slope=1051ns or kick_slope=+10%"


class Changed(NamedTuple):
    """One entry of the table."""

    name: str
    was: str
    value: str

    @property
    def key(self) -> str:
        """As for `--set`."""
        return f"costs.override.{self.name}={self.value}"


def changed(texts: Sequence[str]) -> tuple[Changed, ...]:
    """What the flags say; a mistake is a UsageError."""
    model = Costs().model
    entries = cost_table.read(model)["cost"]
    found = tuple(_one(text, entries) for text in texts)
    names = [cost.name for cost in found]
    if twice := next((name for name in names if names.count(name) > 1), ""):
        raise UsageError(f"--cost: {twice} is given twice, expected once")
    cost_table.load(model, {cost.name: cost.value for cost in found})
    return found


def _one(text: str, entries: dict[str, dict[str, str]]) -> Changed:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise UsageError(f"--cost: found {quote(text)}, expected {EXAMPLE}")
    if name not in entries:
        raise UsageError(
            f"--cost: {quote(name)[1:-1]}: unknown cost; {suggestion(name, entries, 'costs')}"
        )
    was = entries[name]["value"]
    change = _CHANGE.fullmatch(value)
    if change:
        share = float(change[2]) / 100 * (1 if change[1] == "+" else -1)
        ns = round(parse_duration(was) * (1 + share))
        if ns < 0:
            raise UsageError(f"--cost: {name}: found {quote(value)}, expected -100% at least")
        return Changed(name, was, format_duration(ns))
    try:
        parse_duration(value)
    except ValueError as error:
        raise UsageError(f"--cost: {name}: {error}, or a change such as +10%") from None
    return Changed(name, was, value)
