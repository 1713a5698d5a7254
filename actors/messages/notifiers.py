"""mmu_notifiers: everybody else who changes the VMM's page tables."""

from actors.contract import Message, Reason


class NotifierCall(Message, frozen=True, tag=70):
    """Load or VMM -> host mapping: a caller of actors.notifier_sites is about to change a range of the VMM's mm.

    `reply_to` is told when it is through; 0 is nobody.
    """

    caller: int
    start: int
    end: int
    reply_to: int = 0


class NotifierDone(Message, frozen=True, tag=71):
    """Host mapping -> whoever wants to know: the caller is through; `reason` is what its callback returned."""

    caller: int
    reason: Reason


class Exit(Message, frozen=True, tag=75):
    """Load -> VMM: the guest has shut down, the VMM exits of its own accord."""


class LifeSlice(Message, frozen=True, tag=185):
    """Timer of the VMM: slice `number` of a conversion's life begins, where a fault plan may end the VMM's own."""

    op: int
    number: int


class Kill(Message, frozen=True, tag=186):
    """Timer of the VMM, or whoever has the right to: SIGKILL."""


class RangeStart(Message, frozen=True, tag=72):
    """Host mapping -> KVM: invalidate_range_start. `may_fail` says whether the mm allows this callback to fail.

    A callback that is not `blocking` should return -EAGAIN rather than wait; one that `protect`s keeps the leaves.
    """

    number: int
    start: int
    end: int
    may_fail: bool
    blocking: bool
    protect: bool


class RangeStarted(Message, frozen=True, tag=73):
    """KVM -> host mapping: the leaves are gone and nobody has a stale translation, or the callback's error."""

    number: int
    reason: Reason


class RangeEnd(Message, frozen=True, tag=74):
    """Host mapping -> KVM: invalidate_range_end; faults in the range go on."""

    number: int
