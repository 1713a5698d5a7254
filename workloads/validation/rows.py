"""What `validate` says of one figure: published, simulated, their ratio, and whether that is near enough. Pure."""

from collections.abc import Callable
from typing import Literal, NamedTuple

import msgspec

Kind = Literal["fit", "predict", "report"]
Unit = Literal["s", "us", "bytes", ""]


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One figure. `ok` is None for what nobody is held to; `reason` is why that is so, or what to know about it."""

    id: str  # of docs/domain.md section 8
    kind: Kind
    what: str
    unit: Unit
    published: float | None
    band: tuple[float, float] | None = (
        None  # where a range was published; `published` is its middle
    )
    simulated: float | None
    ratio: float | None
    tolerance: str
    ok: bool | None
    reason: str = ""


class Tolerance(NamedTuple):
    """How near is near enough; `holds` is asked with (published, simulated)."""

    text: str
    holds: Callable[[float, float], bool]


def within(share: float) -> Tolerance:
    """So far off at most, either way."""
    return Tolerance(f"+-{share:.0%}", lambda published, s: abs(s - published) <= share * published)


def times(factor: float) -> Tolerance:
    """So many times as much at most, or as little."""
    text = f"factor {factor:g}"
    return Tolerance(text, lambda published, s: published / factor <= s <= published * factor)


def inside(low: float, high: float, share: float) -> Tolerance:
    """Inside a band, or so far outside at most."""
    text = f"inside +-{share:.0%}"
    return Tolerance(text, lambda _, s: low * (1 - share) <= s <= high * (1 + share))


EXACT = Tolerance("exact", lambda published, s: s == published)
BELOW = Tolerance("below", lambda published, s: s < published)
ABOVE = Tolerance("above", lambda published, s: s > published)
NONE = Tolerance("", lambda published, s: True)


class Figure(NamedTuple):
    """A row before anything is simulated."""

    id: str
    kind: Kind
    what: str
    unit: Unit
    published: float
    tolerance: Tolerance
    reason: str = ""
    band: tuple[float, float] | None = None

    def row(self, simulated: float) -> Row:
        """With what the engine made of it. A reason explains; it excuses nothing."""
        near = self.tolerance.holds(self.published, simulated)
        return self._row(
            simulated,
            simulated / self.published if self.published else None,
            None if self.kind == "report" else near,
            self.reason,
        )

    def missing(self, why: str) -> Row:
        """What the model has not got cannot be judged."""
        return self._row(None, None, None, why)

    def _row(
        self, simulated: float | None, ratio: float | None, ok: bool | None, reason: str
    ) -> Row:
        return Row(
            id=self.id,
            kind=self.kind,
            what=self.what,
            unit=self.unit,
            published=self.published,
            band=self.band,
            simulated=simulated,
            ratio=ratio,
            tolerance=self.tolerance.text,
            ok=ok,
            reason=reason,
        )
