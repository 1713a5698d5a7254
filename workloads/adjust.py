"""What a scenario must be changed in before a protocol can run it: a table, and its application."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import msgspec

from actors.protocols import PROTOCOLS, Event
from workloads.errors import UsageError
from workloads.outcome.shape import Changed
from workloads.scenario import Scenario
from workloads.scenario.rules import SMALL, breaches
from workloads.scenario.write import explain


class Adjustment(NamedTuple):
    """`key`, if it has one of the values `unfit`, is set to `fit`."""

    key: str
    unfit: tuple[Any, ...]
    fit: Any


# docs/domain.md section 0: the in-place series has folios of order 0 only, so nothing can be mapped at 2 MiB.
ADJUSTMENTS: Mapping[str, tuple[Adjustment, ...]] = {
    "in-place": (
        Adjustment("vm.page_order", (9, 18), 0),
        *(Adjustment("vm.start", (huge,), small) for huge, small in SMALL.items()),
    ),
}


# A table without a row for the poison callback is sent none: it marks pages in its own way instead.
UNHEARD = Adjustment("protocol.mark", ("callback",), "protocol")


class Adjusted(NamedTuple):
    """A scenario as a protocol runs it, and the keys that had to be changed."""

    scenario: Scenario
    changed: dict[str, Changed]


def adjustments(protocol: str) -> Iterator[Adjustment]:
    """What this protocol cannot take."""
    yield from ADJUSTMENTS.get(protocol, ())
    if not PROTOCOLS[protocol].hears(Event.POISONED):
        yield UNHEARD


def adjusted(scenario: Scenario, protocol: str) -> Adjusted:
    """The scenario under this protocol; a UsageError where its keys and the protocol do not go together."""
    named = with_key(scenario, "protocol.name", protocol)
    found = named
    for key, unfit, fit in adjustments(protocol):
        section, _, field = key.partition(".")
        if getattr(getattr(found, section), field) in unfit:
            found = with_key(found, key, fit)
    for path, text in breaches(found):
        raise UsageError(f"protocol {protocol}: {path}: {text}")
    before, after = values(named), values(found)
    changed = {
        key: Changed(was=before[key], now=after[key]) for key in before if before[key] != after[key]
    }
    return Adjusted(found, changed)


def with_key(scenario: Scenario, key: str, value: Any) -> Scenario:
    """One key of a section changed."""
    name, _, field = key.partition(".")
    section = msgspec.structs.replace(getattr(scenario, name), **{field: value})
    return msgspec.structs.replace(scenario, **{name: section})


def values(scenario: Scenario) -> dict[str, str]:
    """Key -> its value in TOML."""
    return {row.key: row.value for row in explain(scenario)}
