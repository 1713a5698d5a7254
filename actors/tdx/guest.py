"""The guest's side of the TDX module: its accesses, ACCEPT and RELEASE, and what is suspicious about its faults."""

from typing import TYPE_CHECKING

import msgspec

from actors import messages as m
from actors.address import GUEST, KVM
from actors.contract import Context, Share
from actors.guest.outcome import Outcome
from actors.locks.observations import TdxLocked
from actors.observations import GuestAccepted, GuestAccess, GuestReleased, ListEmptied
from actors.tdx.entries import LEVEL_SHIFT, STATE_MASK, Stuck, Td, enter
from actors.tdx.states import LEVEL_2M, LEVEL_4K, PAGES, Entry

if TYPE_CHECKING:
    from actors.tdx.module import TdxModule

ZERO_STEP_THRESHOLD = 6  # faults of one vCPU at one place before VP.ENTER becomes suspicious
GIVE_UP = 1000  # faults without progress after which the guest's watchdog ends the access
STORM_VCPUS = 248  # how many ticked when an ACCEPT was measured to take aug_accept_4k_storm


def on_access(module: "TdxModule", message: m.Access, context: Context) -> None:
    """A vCPU touches or accepts private memory: done, or the first page in the way decides."""
    td = module.tds[message.vm]
    good = (Entry.MAPPED, Entry.PENDING) if message.accept else (Entry.MAPPED,)
    for start, end, value in td.sept.runs(message.start, message.end):
        state = value & STATE_MASK
        if state not in good:
            violation(module, message, start, end, state == Entry.PENDING, context)
            return
    if message.accept:
        accept(module, td, message, context)
        return
    came_on(td, message, context)
    used = (message.vm, message.start, message.end, Share.PRIVATE, True, message.access)
    context.observe(GuestAccess(*used))
    answer(module, message, Outcome.DONE, context.link, context)


def accept(module: "TdxModule", td: Td, message: m.Access, context: Context) -> None:
    """PENDING entries become MAPPED, zeroed. A 2 MiB ACCEPT of 4 KiB entries is a size mismatch."""
    vm, start, end = message.vm, message.start, message.end
    pending = 0
    for run_start, run_end, value in td.sept.runs(start, end):
        level = value >> LEVEL_SHIFT
        if value & STATE_MASK != Entry.PENDING:
            continue
        if message.level == LEVEL_2M > level:
            answer(module, message, Outcome.SIZE_MISMATCH, context.link, context)
            return
        if level > message.level:  # no error to the guest: KVM has to split
            violation(module, message, run_start, run_end, False, context)
            return
        pending += run_end - run_start
        enter(module, td, vm, run_start, run_end, Entry.MAPPED, level, context)
    came_on(td, message, context)
    name = "accept_2m" if message.level == LEVEL_2M else "accept_4k"
    units = pending // PAGES[message.level]
    took = context.cost(name, units) if units else context.cost("td_exit_roundtrip")
    if message.ticking and units and message.level == LEVEL_4K:
        took += storm(message.ticking, units, took, context)
    td.entry_start, td.entry_end, td.entry_until = start, end, context.now + took - 1
    context.observe(TdxLocked(vm, "entries", "ACCEPT", start, end, took))
    if module.by_rate is not msgspec.UNSET:
        module.by_rate.note(vm, context.now + took, message.ticking)
    context.observe(GuestAccepted(vm, start, end, message.access))
    answer(module, message, Outcome.DONE, took, context)


def violation(
    module: "TdxModule", message: m.Access, start: int, end: int, pending: bool, context: Context
) -> None:
    """To the host: no entry (a fault like any other), blocked (the same), or pending and touched (fatal)."""
    if pending:
        met = (message.vm, start, end, Share.PRIVATE, False, message.access)
        context.observe(GuestAccess(*met))
    suspect = suspected(module.tds[message.vm], message.access, start)
    again = faulted(module.tds[message.vm], message.access)
    at = (message.access, start, end, message.level)
    fault = m.Violation(*at, pending, message.accept, suspect, again)
    context.send(message.vm | KVM, fault, context.link)


def answer(
    module: "TdxModule", message: m.Access, outcome: Outcome, delay: int, context: Context
) -> None:
    """The access is over, or has to be tried again."""
    reply = m.Accessed(message.access, outcome)
    context.send(message.vm | GUEST, reply, max(delay, context.link))


def on_vp_enter(module: "TdxModule", message: m.VpEnter, context: Context) -> None:
    """A vCPU comes back from a fault. Its sixth at one place has the module look closer, with the tree lock."""
    td = module.tds[message.vm]
    stuck = td.faults[message.access]
    stuck.again = True
    took = context.link
    outcome = Outcome.FAILED if message.elsewhere else Outcome.RETRY
    if stuck.times >= GIVE_UP:
        outcome = Outcome.FAILED
    if stuck.times >= ZERO_STEP_THRESHOLD and not message.elsewhere:
        took = max(took, context.cost("vp_enter_zero_step"))
        td.zero_step_until = context.now + took
        page = stuck.start
        context.observe(
            TdxLocked(message.vm, "tree, exclusively", "VP.ENTER", page, page + 1, took)
        )
    if outcome is Outcome.FAILED:
        came_on(td, message, context)
    context.send(message.vm | GUEST, m.Accessed(message.access, outcome), took)


def on_release(module: "TdxModule", message: m.Release, context: Context) -> None:
    """TDG.MEM.PAGE.RELEASE: MAPPED entries are PENDING again, and the host may block them."""
    td, pages = module.tds[message.vm], 0
    for start, end in message.parts:
        for first, last, value in td.sept.runs(start, end):
            if value & STATE_MASK == Entry.MAPPED:
                level = value >> LEVEL_SHIFT
                enter(module, td, message.vm, first, last, Entry.PENDING, level, context)
                pages += last - first
        context.observe(GuestReleased(message.vm, start, end))
    took = context.cost("page_release_4k", pages) if pages else context.link
    context.send(message.vm | GUEST, message, max(took, context.link))


def suspected(td: Td, access: int, start: int) -> bool:
    """Count a violation, whatever the host will make of it: one that it lets wait is one, too. Is it the sixth?

    What has come further than the last time is at another place.
    """
    stuck = td.faults.get(access)
    if stuck is None:
        stuck = td.faults[access] = Stuck(start)
    elif stuck.start != start:
        stuck.start, stuck.times = start, 0
    stuck.times += 1
    return stuck.times >= ZERO_STEP_THRESHOLD


def faulted(td: Td, access: int) -> int:
    """How often the access has faulted here before the fault in hand."""
    stuck = td.faults.get(access)
    return stuck.times - 1 if stuck else 0


def came_on(td: Td, message: m.Access | m.VpEnter, context: Context) -> None:
    """The access is over, one way or the other: nothing suspicious about it any more."""
    stuck = td.faults.pop(message.access, None)
    if stuck and stuck.again:
        context.observe(ListEmptied(message.vm, message.access))


def storm(ticking: int, pages: int, accept: int, context: Context) -> int:
    """What ticking vCPUs add to fault, AUG and ACCEPT of so many pages: in proportion to their number (ASSUMED).

    `accept` is what ACCEPT alone takes. Two points are published: nobody ticks, and STORM_VCPUS do.
    """
    alone = context.cost("aug_4k", pages) + accept
    return max(0, context.cost("aug_accept_4k_storm", pages) - alone) * ticking // STORM_VCPUS
