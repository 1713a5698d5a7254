"""Facts about locks that no check orders: who reads under one, who has the VMM's, and what the TDX module holds."""

from actors.contract import Observation


class LockHeld(Observation, frozen=True, tag=290):
    """A lock of the VM's is held from now on (`taken`), or no more, by a page fault, an ACCEPT, a request, a window.

    `number` is its own number of that kind. What conversions and the like take is in LockOrder.
    """

    vm: int
    lock: str
    by: str
    number: int
    taken: bool


class TdxLocked(Observation, frozen=True, tag=291):
    """The module holds a lock of the TD's for `took` ns from now on: over its tree, or over the entries of a range."""

    vm: int
    lock: str
    by: str
    start: int
    end: int
    took: int
