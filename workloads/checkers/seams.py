"""Checks at the seam of KVM and the TDX module: why SEAMCALLs fail, what outlives an unmap, how long faults wait."""

from actors import observations as o
from actors.contract import Consumer, Reason, Share
from actors.tdx.states import Call, Cause, Entry, Status
from workloads.checkers.checks import Found, caused
from workloads.checkers.shadow import Shadow
from workloads.checkers.words import span, who

# A member is slow to look up.
BLOCKED = (Entry.BLOCKED, Entry.PENDING_BLOCKED)
OK, REMOVE, DEMOTE, NONE, IOMMU = Status.OK, Call.REMOVE, Call.DEMOTE, Reason.NONE, Consumer.IOMMU

# --- SEAMCALLs -----------------------------------------------------------------------------------


def i12_seamcall(shadow: Shadow, fact: o.SeamcallAnswered) -> Found:
    """Where nothing may fail, only what a fault point or contention explains does."""
    if fact.status == OK:
        return None
    op = shadow.operations.get(fact.op)
    return unprovoked(shadow, fact) if op and op.settled else None


def i16(shadow: Shadow, fact: o.SeamcallAnswered) -> Found:
    """Before: REMOVE and DEMOTE come after BLOCK, TRACK and a round of exits, and nothing is refused for nothing."""
    if shadow.retrying and (text := retried(shadow, fact)):
        return text
    if fact.status != OK:
        return unprovoked(shadow, fact)
    call = fact.call
    if call != REMOVE and call != DEMOTE:  # noqa: PLR1714 - no tuple for every SEAMCALL
        return None
    if 0 <= shadow.blocked < shadow.epoch == shadow.drained:
        return None
    return (
        f"{Call(fact.call).name} of {span(fact.start, fact.end)}: blocked in epoch {shadow.blocked}, "
        f"tracked {shadow.epoch}, drained {shadow.drained}"
    )


def retried(shadow: Shadow, fact: o.SeamcallAnswered) -> Found:
    """Whoever has met BUSY tries once more, with all vCPUs out from the kick to the answer."""
    if fact.op not in shadow.retrying or shadow.kept_out >= 0:
        return None
    return f"{Call(fact.call).name} of {span(fact.start, fact.end)} is tried again after BUSY, and vCPUs may enter"


def i16_entered(shadow: Shadow, fact: o.GuestAccepted | o.GuestAccess) -> Found:
    """Nobody is in the guest once all have been out for a retry, until they are let in."""
    if not shadow.all_out or (isinstance(fact, o.GuestAccess) and fact.share is Share.SHARED):
        return None
    return f"a vCPU uses {span(fact.start, fact.end)} while all are kept out for a retry"


def i16_let_in(shadow: Shadow, fact: o.VcpusKept) -> Found:
    """Before: whoever gave up after a second BUSY unblocks what it has blocked before a vCPU can fault there."""
    if fact.out or shadow.stuck is None or shadow.dead:
        return None
    for start, end, state in shadow.sept.runs(*shadow.stuck):
        if state in BLOCKED:
            return f"vCPUs may enter while {span(start, end)}, BUSY twice, is blocked"
    return None


def i16_given_up(shadow: Shadow, fact: o.VmBugged | o.ConsumerReplied) -> Found:
    """Nobody gives up for BUSY, which is told to every caller now and then, before the retry has met it as well."""
    if fact.reason is not Reason.BUSY or shadow.busy[1] > 1 or caused(shadow, Reason.BUSY):
        return None
    who_does = f"KVM_BUG_ON in {fact.site}" if isinstance(fact, o.VmBugged) else who(fact.consumer)
    return f"{who_does} gives up for BUSY, and no call was BUSY at its retry"


def unprovoked(shadow: Shadow, fact: o.SeamcallAnswered) -> Found:
    """A SEAMCALL fails although no fault point struck, nobody held a lock, and the entries explain nothing."""
    if fact.cause != Cause.CALLER or late_or_left(shadow, fact):
        return None
    what = f"{Call(fact.call).name} of {span(fact.start, fact.end)}"
    return f"{what} is {Status(fact.status).name} with nothing in its way"


def late_or_left(shadow: Shadow, fact: o.SeamcallAnswered) -> bool:
    """Was another fault quicker to install, or is a leaf still blocked by a failure that was told of?

    That the guest has not released a page (trusted IO) is its own doing; a frame with an owner is I3's, or AN11's.
    """
    if fact.status == Status.IN_USE:
        return shadow.holds(fact.start, fact.end)
    if fact.status == Status.OWNED:
        return True
    if fact.status != Status.WRONG_STATE:
        return False
    if fact.call == Call.AUG:
        return not shadow.sept.only(fact.start, fact.end, Entry.FREE)
    if fact.call != Call.BLOCK:
        return False
    for start, end, state in shadow.sept.runs(fact.start, fact.end):
        if state in BLOCKED:
            return shadow.dead or shadow.left.only(start, end, 1)
    return False


# --- translations --------------------------------------------------------------------------------


def i16_iotlb(shadow: Shadow, fact: o.ShareStored) -> Found:
    """A page goes to the other side only after the wait for the IOTLB."""
    for start, end, until in shadow.devices.waits if fact.to is Share.PRIVATE else ():
        if shadow.now < until and start < fact.end and fact.start < end:
            return f"{span(start, end)} is given to the TD while its IOTLB invalidation is awaited"
    return None


def i16_acknowledged(shadow: Shadow, fact: o.ConsumerReplied) -> Found:
    """The IOMMU driver's word that it has let go comes after its wait."""
    if fact.consumer is not IOMMU or not shadow.devices.waits or fact.reason is not NONE:
        return None
    op = shadow.operations[fact.op]
    for start, end, until in shadow.devices.waits:
        if shadow.now < until and op.covers(start, end):
            return f"iommu has let go of {span(start, end)}, and its invalidation is still awaited"
    return None


# --- invalidations -------------------------------------------------------------------------------


def i14_parked(shadow: Shadow, fact: o.FaultParked) -> Found:
    """Somebody's invalidation is what a fault waits for."""
    if any(start < fact.end and fact.start < end for start, end in shadow.frozen.values()):
        return None
    return f"a fault at {span(fact.start, fact.end)} waits, and nobody's invalidation covers it"


def i17_stored(shadow: Shadow, fact: o.ShareStored) -> Found:
    """The store comes before the end of the invalidation: in between (RW1) a fault would look the old attribute up.

    Where a protocol is made so, what counts is what faults then install.
    """
    op = shadow.operations.get(fact.op)
    if op is None or not op.thawed or shadow.window:
        return None
    return (
        f"{span(fact.start, fact.end)} is stored after its INV_END: a fault may know the old side"
    )
