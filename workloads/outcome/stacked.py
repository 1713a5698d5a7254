"""Horizontal bars made of parts, one below the other."""

from collections.abc import Mapping, Sequence
from typing import Any

Look = Mapping[str, Any]
"""How a part is drawn: what matplotlib's barh() takes."""


def stack(
    axes: Any,
    names: Sequence[str],
    parts: Mapping[str, Sequence[float]],
    looks: Mapping[str, Look],
) -> None:
    """A bar for each name; `parts` are by label, in the order in which they follow one another in every bar."""
    left = [0.0] * len(names)
    for label, sizes in parts.items():
        # An edge around nothing would still be seen, and a legend tell of what is nowhere.
        shown = [place for place, size in enumerate(sizes) if size]
        if not shown:
            continue
        axes.barh(
            shown,
            [sizes[place] for place in shown],
            0.6,
            [left[place] for place in shown],
            label=label,
            **looks[label],
        )
        left = [one + size for one, size in zip(left, sizes, strict=True)]
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_yticks(range(len(names)), names)
    axes.grid(axis="y", visible=False)
