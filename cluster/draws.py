"""Counter-based chance: every draw is a pure function of seed, who draws, for what, and a counter."""

import math
from array import array
from hashlib import blake2b
from statistics import NormalDist
from struct import Struct

DRAWS_PER_BLOCK = 32  # one hash call serves so many of 16 bits
_BLOCK = Struct(f"<{DRAWS_PER_BLOCK}H")
UNITS = 1 << 16
_KEY_BYTES = 64
_TWO_53 = 1 << 53
_MASK_64 = (1 << 64) - 1


def key_of(seed: int, *names: object) -> bytes:
    """A key of its own for each (seed, names)."""
    text = "/".join(str(name) for name in (seed, *names))
    return blake2b(text.encode(), digest_size=32).digest()


def block(key: bytes, counter: int) -> tuple[int, ...]:
    """32 independent draws, uniform in 0 .. 65535."""
    return _BLOCK.unpack(blake2b(counter.to_bytes(8, "little"), digest_size=64, key=key).digest())


def draws_of(key: bytes, counter: int) -> "array[int]":
    """The same to `pop` one after the other; no list, whose int objects are a kilobyte for each actor that draws."""
    return array("H", reversed(block(key, counter)))


def uniform(key: bytes, counter: int) -> float:
    """One draw in [0, 1), of 53 bits; `counter` may be any non-negative integer."""
    return Uniform(key)(counter)


class Uniform:
    """Draws as `uniform` makes them, for a key that has many: half of a hash is its key."""

    __slots__ = ("_begun",)

    def __init__(self, key: bytes) -> None:
        self._begun = blake2b(digest_size=8, key=key)

    def __call__(self, counter: int) -> float:
        """The draw of this number."""
        size = (counter.bit_length() + 7) // 8
        begun = self._begun.copy()
        begun.update(counter.to_bytes(size if size > 8 else 8, "little"))
        return (int.from_bytes(begun.digest(), "little") >> 11) / _TWO_53


def mixed(seed: int, time: int, source: int) -> int:
    """64 bits that these three decide, none of them more than the others: quick, and no cipher."""
    bits = (seed * 0x9E37_79B9_7F4A_7C15 + time) * 0xBF58_476D_1CE4_E5B9 + source & _MASK_64
    bits = (bits ^ bits >> 29) * 0x94D0_49BB_1331_11EB & _MASK_64
    return bits ^ bits >> 32


def normal_quantiles() -> tuple[float, ...]:
    """The standard normal's quantiles at the middles of 65,536 equal steps: a 16-bit draw becomes a z."""
    inverse = NormalDist().inv_cdf
    half = [inverse((step + 0.5) / UNITS) for step in range(UNITS // 2)]
    return (*half, *(-z for z in reversed(half)))


def log_exponential_quantiles() -> tuple[float, ...]:
    """The logs of a unit exponential's quantiles at the same places: the mean is 5 millionths short of 1."""
    return tuple(math.log(-math.log1p(-(step + 0.5) / UNITS)) for step in range(UNITS))
