"""Cost models on file: TOML tables of durations with unit, distribution and source, and a scenario's overrides."""

import math
import tomllib
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from cluster.costs import Cost
from workloads.errors import UsageError
from workloads.units import parse_duration
from workloads.wording import quote, suggestion

_FOLDER = "costs"
MEAN_NS_MAX = 3600 * 1_000_000_000


def models() -> tuple[str, ...]:
    """Names of the shipped models."""
    found = files("workloads").joinpath(_FOLDER).iterdir()
    return tuple(sorted(f.name.removesuffix(".toml") for f in found if f.name.endswith(".toml")))


def read(model: str) -> dict[str, Any]:
    """The whole document of a shipped model."""
    if model not in models():
        raise UsageError(f"costs.model: no model {quote(model)}; there is {', '.join(models())}")
    text = files("workloads").joinpath(_FOLDER, f"{model}.toml").read_text("utf-8")
    return tomllib.loads(text)


def load(model: str, overrides: Mapping[str, str | float | int]) -> tuple[Cost, ...]:
    """The model's durations, with a scenario's values in place of the means."""
    entries: dict[str, Any] = read(model)["cost"]
    for name in overrides:
        if name not in entries:
            raise UsageError(
                f"costs.override.{name}: unknown cost; {suggestion(name, entries, 'costs')}"
            )
    return tuple(cost(name, entry, overrides.get(name)) for name, entry in sorted(entries.items()))


def cost(name: str, entry: Mapping[str, Any], override: str | float | None = None) -> Cost:
    """One duration as the engine wants it: mean and, for whatever distribution, the spread of a lognormal."""
    value = entry["value"] if override is None else override
    try:
        mean = float(parse_duration(value)) if isinstance(value, str) else float(value)
    except ValueError as error:
        raise UsageError(f"costs.override.{name}: {error}") from None
    if not isinstance(value, str) or not math.isfinite(mean):
        raise UsageError(
            f'costs.override.{name}: found {value!r}, expected a duration such as "3us"'
        )
    if mean > MEAN_NS_MAX:
        raise UsageError(f'costs.override.{name}: found "{value}", expected at most "1h"')
    return Cost(name, mean, spread(entry))


def spread(entry: Mapping[str, Any]) -> float:
    """Sigma of the lognormal with the same relative variance."""
    kind = entry["distribution"]
    if kind == "lognormal":
        return float(entry["sigma"])
    if kind == "uniform":
        low, high = parse_duration(entry["low"]), parse_duration(entry["high"])
        relative = (high - low) / math.sqrt(12) / ((high + low) / 2)
        return math.sqrt(math.log1p(relative * relative))
    return math.sqrt(math.log(2)) if kind == "exponential" else 0.0
