"""The settings of a run that decide which anomalies its protocol admits: from its scenario, or from its summary."""

from collections.abc import Mapping
from typing import Any

import msgspec

from workloads.scenario import Scenario

Settings = Mapping[str, str]


def of_scenario(scenario: Scenario) -> Settings:
    """Every key of [protocol] and [vm] as text."""
    return {
        f"{section}.{name}": as_text(value)
        for section, keys in (("protocol", scenario.protocol), ("vm", scenario.vm))
        for name, value in msgspec.to_builtins(keys).items()
    }


def of_summary(summary: Mapping[str, Any]) -> Settings:
    """The keys that were not at their defaults; a summary holds their values as TOML."""
    return {row["key"]: row["value"].strip('"') for row in summary.get("parameters", ())}


def as_text(value: object) -> str:
    """As in TOML, without quotes."""
    return str(value).lower() if isinstance(value, bool) else str(value)
