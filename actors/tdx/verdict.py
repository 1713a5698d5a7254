"""What a batch of SEAMCALLs is answered: by locks, epoch, entries, PAMT and fault points, in that order."""

from typing import TYPE_CHECKING

import msgspec

from actors import messages as m
from actors.contract import Context, Fault, Reason, opportunity
from actors.intervals import IntervalMap
from actors.observations import FrameOwned
from actors.tdx import pamt as tdx_pamt
from actors.tdx import tables as tdx_tables
from actors.tdx.contention import BACKGROUND
from actors.tdx.entries import STATE_MASK, Td
from actors.tdx.guest import faulted
from actors.tdx.states import LEVEL_4K, PAGES, Call, Cause, Entry, Lock, Rule, Status

if TYPE_CHECKING:
    from actors.tdx.module import TdxModule

# What every SEAMCALL looks at, and a member is slow to look up.
OK, CALLER, MAPPED = Status.OK, Cause.CALLER, Entry.MAPPED
TRACK, AUG, BLOCK, DEMOTE = Call.TRACK, Call.AUG, Call.BLOCK, Call.DEMOTE
FAULTS = (AUG, Call.SEPT_ADD)  # calls that a guest's fault makes
LOOKS = (BLOCK, Call.SEPT_RD)
ALONE, NO_LOCK = Lock.EXCLUSIVE, Lock.NONE
CALL_SHIFT = 9  # of a call's number in the key of an opportunity, where attempts do not come to

# How an injected failure looks to KVM (actors.kvm.walk.REASONS is the way back).
STATUS = {
    Reason.NO_MEMORY: Status.NO_PAMT,
    Reason.REFERENCES: Status.IN_USE,
    Reason.BUSY: Status.BUSY,
    Reason.INTERRUPTED: Status.INTERRUPTED,
    Reason.TIMEOUT: Status.TIMED_OUT,
    Reason.BUG: Status.BUG,
}


def verdict(
    module: "TdxModule", td: Td, rule: Rule, message: m.Seamcall, context: Context
) -> tuple[Status, int, Cause]:
    """What the batch is answered, the first leaf that it fails at, and why."""
    # By rate only an epoch is held: who else is in the way, chance decides.
    locked = module.by_rate is msgspec.UNSET or message.call == TRACK
    if locked and held(td, rule, message, context.now):
        return Status.BUSY, 0, Cause.LOCK
    if rule.tracked and not td.blocked_in < td.epoch == td.drained:
        return Status.NOT_TRACKED, 0, CALLER
    status, index, cause = OK, message.count, CALLER
    # What a fault calls again is for new faults of the same access; their number tells them apart.
    fault = message.call in FAULTS
    attempt = faulted(td, message.op) if fault else message.attempt
    where = points(module, rule, message, context.now)
    if struck := strike(where, message, attempt, context):
        status, index, cause = STATUS[struck.reason], struck.first, Cause.FAULT
    if (legal := movable(td, rule, message)) < index:
        status, index, cause = Status.WRONG_STATE, legal, CALLER
    if td.pins is not msgspec.UNSET and (free := released(td, message)) < index:
        status, index, cause = Status.IN_USE, free, CALLER
    if message.call == AUG and (free := unowned(module.pamt, td, message)) < index:
        status, index, cause = Status.OWNED, free, CALLER
        first = message.start + free * PAGES[message.level]
        pfn = first + td.frames.get(first)
        if message.pfn >= 0:
            pfn = first + message.pfn - message.start
        leaf = module.pamt.runs(pfn, pfn + PAGES[message.level])
        taken = next(frame for frame, _, owner in leaf if owner)
        context.observe(FrameOwned(message.vm, first, message.end, message.op, taken))
    if index and short(module, td, message, index):
        return Status.NO_PAMT, 0, CALLER
    return status, index, cause


def points(module: "TdxModule", rule: Rule, message: m.Seamcall, now: int) -> tuple[str, ...]:
    """Where the call may fail by chance or schedule."""
    if message.attempt:  # the vCPUs are out
        return tuple(point for point in rule.points if point != BACKGROUND)
    if module.by_rate is not msgspec.UNSET and message.call == BLOCK:
        return (*module.by_rate.points(message.vm, now), *rule.points)
    return rule.points


def short(module: "TdxModule", td: Td, message: m.Seamcall, leaves: int) -> bool:
    """Would so many leaves of the batch want more pages for the PAMT than came with it?"""
    if module.dynamic is msgspec.UNSET or not makes_small(message):
        return False
    end = message.start + leaves * PAGES[message.level]
    if message.call == AUG and message.pfn >= 0:
        shifts = [(message.start, end, message.pfn - message.start)]
    else:
        shifts = td.frames.runs(message.start, end)
    wanted = sum(tdx_pamt.empty(module.dynamic, s + shift, e + shift) for s, e, shift in shifts)
    return wanted > message.pairs


def held(td: Td, rule: Rule, message: m.Seamcall, now: int) -> bool:
    """Does somebody hold a lock that this call needs? Nobody waits for a TDX lock."""
    if message.call == TRACK:
        return td.drained < td.epoch  # PREVIOUS_TLB_EPOCH_BUSY
    if rule.tree is not NO_LOCK and (now < td.tree_exclusive_until or now < td.zero_step_until):
        return True
    if rule.tree is ALONE and now < td.tree_shared_until:
        return True
    entries = message.start < td.entry_end and td.entry_start < message.end
    return bool(rule.moves) and entries and now < td.entry_until


def movable(td: Td, rule: Rule, message: m.Seamcall) -> int:
    """How many leaves of the batch, from its start, are in a state that the call can change."""
    most = message.count
    if td.tables is not msgspec.UNSET:
        most = tdx_tables.room(td.tables, message)
    if not rule.moves:
        return most
    end = message.start + message.count * PAGES[message.level]
    for start, _, value in td.sept.runs(message.start, end):
        if value & STATE_MASK not in rule.moves:
            return min(most, (start - message.start) // PAGES[message.level])
    return most


def unowned(pamt: IntervalMap, td: Td, message: m.Seamcall) -> int:
    """How many leaves of an AUG, from its start, are frames that the PAMT gives nobody: no other TD, nor this one."""
    end = message.start + message.count * PAGES[message.level]
    if message.pfn >= 0:
        places = [(message.start, end, message.pfn - message.start)]
    else:
        places = td.frames.runs(message.start, end)
    for start, last, shift in places:
        if not pamt.only(start + shift, last + shift, 0):
            runs = pamt.runs(start + shift, last + shift)
            taken = next(first for first, _, owner in runs if owner) - shift
            return (taken - message.start) // PAGES[message.level]
    return message.count


def released(td: Td, message: m.Seamcall) -> int:
    """How many leaves of a BLOCK, or of a look before it, come before the first that the guest holds."""
    if message.call in LOOKS:
        end = message.start + message.count * PAGES[message.level]
        for start, _, value in td.sept.runs(message.start, end):
            if value & STATE_MASK == MAPPED:
                return (start - message.start) // PAGES[message.level]
    return message.count


def strike(
    points: tuple[str, ...], message: m.Seamcall, attempt: int, context: Context
) -> Fault | None:
    """What strikes first of the call's fault points; none does while an ABORT puts things back."""
    if attempt < 0 or not points:
        return None
    key = opportunity(message.vm, message.op, message.start, attempt)
    span = PAGES[message.level]
    if message.count == 1 and message.call == TRACK:
        span = message.end - message.start  # one for the whole step
    found, count = None, message.count
    for point in points:
        # In their order at each page: only what comes before an earlier point's failure gets to the next point.
        # A call's background is its own: that of a BLOCK says nothing of the TRACK that follows it.
        own = key ^ message.call << CALL_SHIFT if point == BACKGROUND else key
        fault = context.choose(point, count, own, span)
        if fault:
            found, count = fault, fault.first
        if not count:
            break
    return found


def makes_small(message: m.Seamcall) -> bool:
    """Does the call make leaves of 4 KiB where none were?"""
    return message.call == DEMOTE or (message.call == AUG and message.level == LEVEL_4K)
