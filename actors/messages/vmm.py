"""The VMM."""

from actors.contract import Message, Reason, Share


class ConvertRequest(Message, frozen=True, tag=7):
    """KVM or guest -> VMM: one request, by MapGPA piece, trace line or memory fault. `since`: when it was due.

    `again`: how often the same memory fault has asked before.
    """

    request: int
    start: int
    end: int
    to: Share
    since: int
    reply_to: int
    again: int = 0


class ConvertAnswer(Message, frozen=True, tag=8):
    """VMM -> whoever asked."""

    request: int
    reason: Reason
    offset: int


class Retry(Message, frozen=True, tag=9):
    """Timer of the VMM: try a request again."""

    request: int


class DropPins(Message, frozen=True, tag=10):
    """VMM -> pins: a cooperative VMM lets go of its own pins over a range before it tries again."""

    start: int
    end: int


class Convert(Message, frozen=True, tag=11):
    """VMM -> guest_memfd: the conversion ioctl. Range in index."""

    op: int
    start: int
    end: int
    to: Share


class Converted(Message, frozen=True, tag=12):
    """guest_memfd -> VMM: rc and error_offset (an index); `redundant` when the range already had the state."""

    op: int
    reason: Reason
    offset: int
    redundant: bool


class DmaMap(Message, frozen=True, tag=13):
    """VMM -> IOMMU driver: map a range that became shared in the domain of one of the VMM's listeners."""

    vm: int
    op: int
    start: int
    end: int
    listener: int = 0


class DmaMapped(Message, frozen=True, tag=14):
    """IOMMU driver -> VMM."""

    op: int
    reason: Reason
