"""KVM MMU and TDX module."""

from actors.contract import Message


class Seamcall(Message, frozen=True, tag=32):
    """KVM -> TDX module: one SEAMCALL on each of `count` leaves of the range, as one batch.

    `attempt` is 1 when it is the one retry after BUSY, -1 in ABORT. `pfn` is the frame of `start`, -1 the one it had.
    `pairs` of pages for the dynamic PAMT come with it, for the module to take what it needs.
    """

    vm: int
    ticket: int
    call: int
    start: int
    end: int
    level: int
    count: int
    pfn: int
    op: int
    attempt: int
    pairs: int = 0


class SeamcallDone(Message, frozen=True, tag=33):
    """TDX module -> KVM: status of the batch; `index` is the first leaf that failed, `injected`: by a fault point.

    The dynamic PAMT took `pairs` of pages; below zero, it gave them back.
    """

    ticket: int
    call: int
    status: int
    index: int
    pairs: int = 0
    level: int = 0
    injected: bool = False


class Kick(Message, frozen=True, tag=34):
    """KVM -> guest: every vCPU out of the guest, `count` times over (once for each TRACK).

    `stay`: none may enter again before LetIn (KVM's wait_for_sept_zap).
    """

    ticket: int
    count: int
    stay: bool = False


class LetIn(Message, frozen=True, tag=102):
    """KVM -> guest: the SEAMCALL that had met BUSY is through; vCPUs may enter again."""


class VpExits(Message, frozen=True, tag=35):
    """Guest -> TDX module: every vCPU has left and may enter in the new epoch."""

    vm: int
    ticket: int
    kicked: int


class Kicked(Message, frozen=True, tag=36):
    """TDX module -> KVM: no vCPU is left in an older epoch."""

    ticket: int
