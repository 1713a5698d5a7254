"""What a walk of the KVM MMU is made of: plans, which are data, and a walk's own state.

Costs are charged per page without an event per page: a step is one leaf level, at most 2 MiB, one hold of mmu_lock,
and a handful of batched SEAMCALLs (docs/domain.md section 16).
"""

import enum

import msgspec

from actors.contract import Reason, Share, Trace
from actors.gmem.conversion import Verb
from actors.messages import Mapped
from actors.tdx.states import Call


class Do(enum.IntEnum):
    """What a plan's entry asks for beside SEAMCALLs (which keep their own numbers)."""

    KICK = 16
    ZAP_SHARED = 17


# One plan is what happens to one step's leaves, in order, under one hold of mmu_lock.
SPLIT = (Call.BLOCK, Call.TRACK, Do.KICK, Call.DEMOTE)
ZAP_PRIVATE = (Call.BLOCK, Call.TRACK, Do.KICK, Call.REMOVE, Call.WBINVD)
ZAP_SHARED = (Do.ZAP_SHARED,)
UNBLOCK = (Call.TRACK, Do.KICK, Call.UNBLOCK)
MAP_AGAIN = (Call.AUG,)
LOOK = (Call.SEPT_RD,)
PLANS = (SPLIT, ZAP_PRIVATE, ZAP_SHARED, UNBLOCK, MAP_AGAIN, LOOK)
SPLITTING, ZAPPING, ZAPPING_SHARED, UNBLOCKING, MAPPING, LOOKING = range(6)


class Walk(msgspec.Struct):
    """One conversion's walk. `todo` are steps (start, end, level) still to do, the first one in hand."""

    gmem: int
    op: int
    start: int
    end: int
    to: Share
    plan: int = SPLITTING
    stage: int = -1  # index into the plan; -1 while not under the lock
    todo: list[tuple[int, int, int]] = []
    cursor: int = 0  # how far COMMIT has come
    done: int = 0  # leaves of the step in hand that the current call is through with
    attempt: int = 0
    reserved: int = 0
    used: int = 0  # of what was reserved, in use and not reported yet
    returned: int = 0  # the same of what has gone back
    blocked: bool = False
    zapped: bool = False
    refusal: Reason = Reason.NONE
    injected: bool = False  # the failure in hand is a fault point's
    offset: int = 0
    aborting: bool = False
    settled: bool = False
    verb: Verb = Verb.PREPARE
    trace: Trace = Trace.CALLBACK
    bugs: bool = True  # a page that cannot be unmapped is KVM_BUG_ON
    busy_bugs: bool = False  # so is a SEAMCALL that fails while splitting
    whole: bool = False  # a boundary leaf that cannot be split is zapped as a whole
    protects: bool = False  # leaves lose write access and stay
    refusable: bool = False  # what cannot be blocked may stay: guest_memfd hears a no
    listed: bool = False  # guest_memfd wants to know what was unmapped
    unmapped: list[Mapped] = []
    kept: list[tuple[int, int]] = []  # of the step in hand: leaves that could not be removed
