"""Phases as stacked bars: what a conversion takes of each consumer's time, phase by phase."""

from collections.abc import Mapping, Sequence
from typing import Any

from workloads.outcome.compare_plots import mean
from workloads.outcome.figures import TIMES
from workloads.outcome.stacked import Look, stack
from workloads.outcome.svg import PAPER, SERIES, figure, svg

Phases = Mapping[str, Mapping[str, Mapping[str, Any]]]
"""Phase -> consumer -> percentiles, as in a summary."""
Bar = tuple[str, dict[str, float]]
"""Its name, and phase -> seconds."""
# Neighbours in a bar never look alike without colours.
LOOKS: Sequence[Look] = (
    {"facecolor": SERIES[0], "edgecolor": PAPER},
    {"facecolor": "none", "edgecolor": SERIES[1], "hatch": "////"},
    {"facecolor": "none", "edgecolor": SERIES[2], "hatch": "xxxx"},
    {"facecolor": SERIES[2], "edgecolor": PAPER},
    {"facecolor": "none", "edgecolor": SERIES[0], "hatch": "----"},
)


def of_consumers(found: Phases, answered: float) -> list[Bar]:
    """A bar for each consumer; the time of a phase is spread over all answered requests."""
    names = sorted({name for consumers in found.values() for name in consumers})
    bars = [
        (name, {phase: spent(found, phase, name) / max(answered, 1) for phase in found})
        for name in names
    ]
    return [(name, parts) for name, parts in bars if any(parts.values())]


def spent(found: Phases, phase: str, consumer: str) -> float:
    """Seconds of simulated time in all."""
    values = found[phase].get(consumer, {"count": 0, "mean": 0.0})
    return mean(values["count"]) * mean(values["mean"])


def together(bars: Sequence[Bar]) -> dict[str, float]:
    """All consumers' in one."""
    phases = dict.fromkeys((phase for _, parts in bars for phase in parts), 0.0)
    return {phase: sum(parts[phase] for _, parts in bars) for phase in phases}


def stacked(bars: Sequence[Bar], ident: str, title: str, text: str) -> str:
    """The bars, one below the other, with a common axis."""
    longest = max(sum(parts.values()) for _, parts in bars)
    unit, factor = next((u for u in reversed(TIMES) if longest >= u[1]), TIMES[0])
    phases = [phase for phase in bars[0][1] if any(parts[phase] for _, parts in bars)]
    looks = dict.fromkeys(phases, LOOKS[0]) | dict(zip(bars[0][1], LOOKS, strict=False))
    with figure(1.0 + 0.3 * len(bars)) as (drawn, axes_of):
        axes = axes_of(1, True)[0]
        sizes = {phase: [parts[phase] / factor for _, parts in bars] for phase in phases}
        stack(axes, [name for name, _ in bars], sizes, looks)
        axes.set(xlabel=f"simulated time per answered request, {unit}")
        drawn.legend(loc="outside upper right", ncols=len(phases))
        return svg(drawn, ident, title, text)
