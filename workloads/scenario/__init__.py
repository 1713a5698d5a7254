"""Scenarios: TOML files that say what is run; the public face of this package."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from workloads.errors import UsageError
from workloads.scenario.arrivals import Arrivals
from workloads.scenario.keys import Section
from workloads.scenario.kinds import (
    KINDS,
    AnyWorkload,
    Balloon,
    Boot,
    Churn,
    ChurnBeside,
    DmaStorm,
    Hostile,
    HotRange,
    MemoryFailures,
    MemoryPressure,
    NotifierStorm,
    PinHolders,
    PoolWorkload,
    Script,
    Shutdown,
    Sweep,
    Trace,
    Workload,
)
from workloads.scenario.moves import Moves
from workloads.scenario.overrides import Given, apply
from workloads.scenario.read import FREE_TABLES, Origin, build
from workloads.scenario.sections import (
    Costs,
    Engine,
    Fault,
    Fleet,
    General,
    Metrics,
    Protocol,
    Vm,
    Vmm,
)
from workloads.scenario.source import parse_toml, read_source, shipped
from workloads.scenario.struct import Scenario
from workloads.scenario.values import NAME_LENGTH, is_name
from workloads.scenario.write import Row, explain, to_short_toml, to_toml
from workloads.wording import printable, quote

__all__ = [
    "KINDS",
    "AnyWorkload",
    "Arrivals",
    "Balloon",
    "Boot",
    "Churn",
    "ChurnBeside",
    "Costs",
    "DmaStorm",
    "Engine",
    "Fault",
    "Fleet",
    "General",
    "Given",
    "Hostile",
    "HotRange",
    "MemoryFailures",
    "MemoryPressure",
    "Metrics",
    "Moves",
    "NotifierStorm",
    "PinHolders",
    "PoolWorkload",
    "Protocol",
    "Row",
    "Scenario",
    "Script",
    "Section",
    "Shutdown",
    "Sweep",
    "Trace",
    "Vm",
    "Vmm",
    "Workload",
    "decode",
    "explain",
    "from_document",
    "load",
    "shipped",
    "to_short_toml",
    "to_toml",
]


def load(
    source: str, overrides: Sequence[str | Given] = (), fault_points: Collection[str] | None = None
) -> Scenario:
    """The scenario in a file, or the shipped one of that name, with `--set` texts applied."""
    text, where = read_source(source)
    return decode(text, where, overrides, fault_points)


def decode(
    text: str,
    where: str,
    overrides: Sequence[str | Given] = (),
    fault_points: Collection[str] | None = None,
) -> Scenario:
    """The scenario in a text that came from `where`; any mistake is a UsageError of one line."""
    place = printable(where)
    try:
        document = parse_toml(text)
    except ValueError as error:
        raise UsageError(f"{place}: not TOML: {error}") from None
    return from_document(document, place, overrides, fault_points)


def from_document(
    document: dict[str, Any],
    where: str,
    overrides: Sequence[str | Given] = (),
    fault_points: Collection[str] | None = None,
) -> Scenario:
    """As `decode`, from a parsed document, which is changed on the way."""
    _flatten(document, where)
    overridden = apply(document, overrides)
    _flatten(document, "--set")
    general = document.setdefault("scenario", {})
    if isinstance(general, dict):
        general.setdefault("name", _name_after(where))
    return build(document, Origin(where, overridden), fault_points)


def _name_after(where: str) -> str:
    """The file's stem, as far as it can name a folder."""
    stem = "".join(c if is_name(c) or c in " ." else "_" for c in Path(where).stem)
    return stem[:NAME_LENGTH].strip(". ") or "scenario"


def _flatten(document: dict[str, Any], where: str) -> None:
    """In free tables `a.b = 1` means the name "a.b", as if it had been quoted."""
    for table in FREE_TABLES:
        parent: Any = document
        for part in table[:-1]:
            parent = parent.get(part) if isinstance(parent, dict) else None
        if isinstance(parent, dict) and isinstance(parent.get(table[-1]), dict):
            parent[table[-1]] = _flat(parent[table[-1]], f"{where}: {'.'.join(table)}")


def _flat(table: dict[str, Any], where: str) -> dict[str, Any]:
    flat = dict[str, Any]()
    waiting = list(reversed(table.items()))
    while waiting:
        name, value = waiting.pop()
        if isinstance(value, dict) and value:
            inner = [(f"{name}.{key}", item) for key, item in value.items()]
            waiting.extend(reversed(inner))
        elif name in flat:
            raise UsageError(f"{where}: {quote(name)}: given twice, quoted and unquoted")
        else:
            flat[name] = value
    return flat
