"""A scenario as TOML that can be run again, and as rows that explain every key."""

from collections.abc import Iterator
from typing import NamedTuple

from workloads import checks
from workloads.scenario.keys import Key, Section, choice, entries, text
from workloads.scenario.kinds import DEFAULT_KIND, KINDS
from workloads.scenario.sections import Fault
from workloads.scenario.struct import SECTIONS, Scenario
from workloads.scenario.values import literal, toml

KIND = choice(tuple(KINDS), "what the guests do")
CHECKS = text(f"metric to {checks.EXAMPLE}; metrics: {', '.join(checks.METRICS)}")
UNSET = "-"


class Row(NamedTuple):
    """One line of `gmemsim show`; value and default are TOML, "-" where there is none."""

    key: str
    value: str
    default: str
    unit: str
    meaning: str


def to_toml(scenario: Scenario) -> str:
    """Every key with its value; loading the text gives the same scenario."""
    blocks = [_block(f"[{name}]", _lines(getattr(scenario, name))) for name in SECTIONS]
    blocks += [
        _block("[[workload]]", [f"kind = {toml(workload.kind)}", *_lines(workload)])
        for workload in scenario.workload
    ]
    blocks += [_block("[[fault]]", _lines(fault)) for fault in scenario.fault]
    limits = [f"{toml(name)} = {toml(limit)}" for name, limit in scenario.checks.items()]
    blocks.append(_block("[checks]", limits))
    return "\n".join(blocks)


def to_short_toml(scenario: Scenario) -> str:
    """Only what is not at its default; loading the text gives the same scenario, too."""
    blocks = [(f"[{name}]", getattr(scenario, name), "") for name in SECTIONS]
    blocks += [("[[workload]]", load, f"kind = {toml(load.kind)}") for load in scenario.workload]
    blocks += [("[[fault]]", fault, "") for fault in scenario.fault]
    found = []
    for head, section, first in blocks:
        lines = [
            f"{name} = {value}" for name, _, value, usual in _values(section) if value != usual
        ]
        if first or lines:
            found.append(_block(head, [first, *lines] if first else lines))
    limits = [f"{toml(name)} = {toml(limit)}" for name, limit in scenario.checks.items()]
    return "\n".join([*found, _block("[checks]", limits)] if limits else found)


def explain(scenario: Scenario) -> list[Row]:
    """Every key there is, with what it is set to and what it means."""
    rows = [row for name in SECTIONS for row in _rows(name, getattr(scenario, name))]
    for index, workload in enumerate(scenario.workload):
        kind = toml(workload.kind), toml(DEFAULT_KIND)
        rows.append(Row(f"workload.{index}.kind", *kind, KIND.allowed, KIND.meaning))
        rows += _rows(f"workload.{index}", workload)
    for index, fault in enumerate(scenario.fault):
        rows += _rows(f"fault.{index}", fault)
    if not scenario.fault:
        # Without any, the keys are listed all the same: nobody finds them otherwise.
        rows += [row._replace(value=UNSET) for row in _rows("fault.0", Fault())]
    rows.append(Row("checks", toml(scenario.checks), "{}", "table", CHECKS.meaning))
    return rows


def _block(head: str, lines: list[str]) -> str:
    return "\n".join((head, *lines, ""))


def _values(section: Section) -> Iterator[tuple[str, Key, str, str]]:
    for name, entry in entries(type(section)).items():
        value = literal(entry.key, getattr(section, entry.field))
        yield name, entry.key, value, literal(entry.key, entry.default)


def _lines(section: Section) -> list[str]:
    return [f"{name} = {value}" for name, _, value, _ in _values(section)]


def _rows(path: str, section: Section) -> list[Row]:
    return [
        Row(f"{path}.{name}", value, default, key.allowed, key.meaning + _bound(key))
        for name, key, value, default in _values(section)
    ]


def _bound(key: Key) -> str:
    return f"; at most {key.at_most}, also by default" if key.at_most else ""
