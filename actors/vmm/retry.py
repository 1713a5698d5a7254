"""What a VMM does about an ioctl that fails: policies by name (docs/domain.md section 2.7)."""

from collections.abc import Callable
from typing import Literal

import msgspec

Pause = Literal["same", "doubling", "drawn"]
"""How long until the next try: always the first pause, twice as long each time, or anything from 0 to that."""


class Policy(msgspec.Struct, frozen=True, array_like=True):
    """`tries` further attempts, -1 for ever, the first after `first` ns, none after more than `most` ns.

    Who drops pins counts those that come no further: each page that is let go is one refusal less. `fatal`: any error
    ends the VM.
    """

    tries: int
    first: int
    most: int
    drop_pins: bool
    fatal: bool
    pause: Pause = "doubling"

    def wait(self, before: int, chance: int) -> int:
        """ns until the next try, when so many were `before`; `chance` is anywhere in 64 bits."""
        return PAUSES[self.pause](self, before, chance)


def doubling(policy: Policy, before: int, _: int) -> int:
    """Exponential backoff."""
    return min(policy.first << min(before, 40), policy.most)


def drawn(policy: Policy, before: int, chance: int) -> int:
    """Full jitter: uniform up to what exponential backoff waits, so half of that on average.

    As M. Brooker, "Exponential Backoff and Jitter", AWS Architecture Blog (2015), has it.
    """
    return doubling(policy, before, 0) * chance >> 64


PAUSES: dict[Pause, Callable[[Policy, int, int], int]] = {
    "same": lambda policy, _before, _chance: policy.first,
    "doubling": doubling,
    "drawn": drawn,
}

Make = Callable[[int, int, int], Policy]
"""From tries, first and longest pause (ns), as far as a policy has a use for them."""

POLICIES: dict[str, Make] = {
    "legacy": lambda *_: Policy(0, 0, 0, drop_pins=False, fatal=True),
    "spin": lambda *_: Policy(-1, 0, 0, drop_pins=False, fatal=False),
    "immediate": lambda tries, *_: Policy(tries, 0, 0, drop_pins=False, fatal=False),
    "fixed": lambda *again: Policy(
        again[0], again[1], again[2], drop_pins=False, fatal=False, pause="same"
    ),
    "backoff": lambda *again: Policy(again[0], again[1], again[2], drop_pins=False, fatal=False),
    "jitter": lambda *again: Policy(
        again[0], again[1], again[2], drop_pins=False, fatal=False, pause="drawn"
    ),
    "cooperative": lambda *again: Policy(again[0], again[1], again[2], drop_pins=True, fatal=False),
    "report": lambda *_: Policy(0, 0, 0, drop_pins=False, fatal=False),
}
"""By the name that vmm.retry has for it."""

_ODD = (0x9E37_79B9_7F4A_7C15, 0xBF58_476D_1CE4_E5B9, 0x94D0_49BB_1331_11EB)
_MASK = (1 << 64) - 1


def draw(*names: int) -> int:
    """64 bits that all of these decide: who waits, for what, since when. The mixer is SplitMix64's."""
    bits = 0
    for name in names:
        bits = (bits ^ name & _MASK) + _ODD[0] & _MASK
        bits = (bits ^ bits >> 30) * _ODD[1] & _MASK
        bits = (bits ^ bits >> 27) * _ODD[2] & _MASK
        bits ^= bits >> 31
    return bits
