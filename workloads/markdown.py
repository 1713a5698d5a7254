"""Pieces of the generated pages in docs/reference."""

from collections.abc import Iterable, Iterator


def table(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    """The lines of a table, and the empty one after it."""
    yield _line(heads)
    yield "|---" * len(heads) + "|"
    yield from map(_line, rows)
    yield ""


def codes(values: Iterable[str]) -> str:
    """Each value as code."""
    return ", ".join(f"`{value}`" for value in values)


def _line(cells: tuple[str, ...]) -> str:
    return f"| {' | '.join(cells)} |"
