"""TDX module of one host: S-EPT entries of its TDs, single-try locks, TLB epochs, zero-step mitigation, PAMT owners."""

from typing import ClassVar

import msgspec

from actors import messages as m
from actors import tdx_pamt, tdx_tables
from actors.address import ALLOCATOR, GUEST, KVM, host_base, vm_base
from actors.contract import Actor, Context, Fault, Reason, Share, opportunity
from actors.guest_outcome import Outcome
from actors.intervals import IntervalMap
from actors.observations import (
    EpochDrained,
    FrameOwned,
    GuestAccepted,
    GuestAccess,
    GuestReleased,
    ListEmptied,
    PamtCounted,
    SeamcallAnswered,
    Sept,
)
from actors.tdx_contention import BACKGROUND, Contention
from actors.tdx_pamt import PAIR, DynamicPamt
from actors.tdx_states import (
    LEVEL_2M,
    LEVEL_4K,
    PAGES,
    RULES,
    Call,
    Cause,
    Entry,
    Lock,
    Rule,
    Status,
)
from actors.tdx_tables import Tables

ZERO_STEP_THRESHOLD = 6  # faults of one vCPU at one place before VP.ENTER becomes suspicious
GIVE_UP = 1000  # faults without progress after which the guest's watchdog ends the access
STORM_VCPUS = 248  # how many ticked when an ACCEPT was measured to take aug_accept_4k_storm
LEVEL_SHIFT = 3  # an entry's value is state | level << LEVEL_SHIFT
CALL_SHIFT = 9  # of a call's number in the key of an opportunity, where attempts do not come to
STATE_MASK = (1 << LEVEL_SHIFT) - 1

# How an injected failure looks to KVM (actors.kvm_walk.REASONS is the way back).
STATUS = {
    Reason.NO_MEMORY: Status.NO_PAMT,
    Reason.REFERENCES: Status.IN_USE,
    Reason.BUSY: Status.BUSY,
    Reason.INTERRUPTED: Status.INTERRUPTED,
    Reason.TIMEOUT: Status.TIMED_OUT,
    Reason.BUG: Status.BUG,
}


class Stuck(msgspec.Struct):
    """EPT violations of one access at one place; `again`: its vCPU has entered although nothing was installed."""

    start: int
    times: int = 0
    again: bool = False


class Td(msgspec.Struct):
    """The module's part of one TD. Times are until when (ns) a lock is held."""

    sept: IntervalMap
    frames: IntervalMap  # gfn -> pfn minus gfn
    epoch: int = 0
    drained: int = 0  # the epoch in which no vCPU of an older one is left
    blocked_in: int = 0  # the epoch of the youngest BLOCK
    tree_shared_until: int = 0
    tree_exclusive_until: int = 0  # held by another caller: a kick does not end it
    zero_step_until: int = 0  # held by VP.ENTER: a kick does
    entry_start: int = 0  # the guest's ACCEPT holds these entries
    entry_end: int = 0
    entry_until: int = 0
    serial_until: int = 0  # how far the work that its vCPUs do one after the other is dealt out
    stuck: IntervalMap = msgspec.field(
        default_factory=lambda: IntervalMap.filled(0)
    )  # REMOVE failed for a bug
    faults: dict[int, Stuck] = {}  # by access
    tables: Tables | msgspec.UnsetType = msgspec.UNSET  # where they are not taken for granted
    pins: bool | msgspec.UnsetType = msgspec.UNSET  # trusted IO: what is MAPPED, the guest holds


class TdxModule(Actor):
    """One per host. `pamt` is pfn -> base address of the VM that owns the frame, 0 for none.

    `dynamic` is there where the host gives the PAMT its pages by region, and counts what is in each; `by_rate` where
    BUSY is a matter of chance, and not of the locks that are held. `readmits`: other TDs come after those
    that are gone.
    """

    tds: dict[int, Td]
    pamt: IntervalMap
    dynamic: DynamicPamt | msgspec.UnsetType = msgspec.UNSET
    by_rate: Contention | msgspec.UnsetType = msgspec.UNSET
    readmits: bool | msgspec.UnsetType = msgspec.UNSET

    # --- SEAMCALLs -------------------------------------------------------------------------------

    def on_seamcall(self, message: m.Seamcall, context: Context) -> None:
        """Answer a batch: BUSY at once where a lock is held, else the entries move and the time passes."""
        td = self.tds[message.vm]
        rule = RULES[message.call]
        status, index, cause = self.verdict(td, rule, message, context)
        if status is Status.BUG and message.call == Call.REMOVE:
            page = message.start + index * PAGES[message.level]
            td.stuck.set(page, page + PAGES[message.level], 1)
        span = index * PAGES[message.level]
        pairs = 0
        if index and rule.moves:
            pairs = self.move(td, rule, message, message.start + span, context)
        if status is Status.OK and message.call == Call.TRACK:
            td.epoch += 1
        if status is Status.OK and td.tables is not msgspec.UNSET:
            tdx_tables.note(td.tables, message)
        if message.call == Call.BLOCK and index:
            td.blocked_in = td.epoch
        took = duration(rule, message, max(index, 1), context)
        if pairs and message.call != Call.DEMOTE:  # whose own costs have it
            took += context.cost("pamt_add_pair" if pairs > 0 else "pamt_remove_pair", abs(pairs))
        if index and rule.serial and message.level == LEVEL_4K:
            begin = max(context.now, td.serial_until)
            td.serial_until = begin + context.cost(rule.serial, index)
            took = max(took, td.serial_until - context.now)
        if message.call == Call.AUG and self.by_rate is not msgspec.UNSET:
            self.by_rate.note(message.vm, context.now + took, 0)
        if rule.tree is Lock.EXCLUSIVE and status is Status.OK:
            td.tree_exclusive_until = max(td.tree_exclusive_until, context.now + took - 1)
        elif rule.tree is Lock.SHARED and index:
            td.tree_shared_until = max(td.tree_shared_until, context.now + took - 1)
        context.observe(
            SeamcallAnswered(
                message.vm, message.call, message.start, message.end, status, message.op, cause
            )
        )
        reply = m.SeamcallDone(
            message.ticket,
            message.call,
            status,
            index,
            pairs,
            message.level,
            cause is Cause.FAULT,
        )
        context.send(message.vm | KVM, reply, max(took, context.link))

    def verdict(
        self, td: Td, rule: Rule, message: m.Seamcall, context: Context
    ) -> tuple[Status, int, Cause]:
        """What the batch is answered, the first leaf that it fails at, and why."""
        # By rate only an epoch is held: who else is in the way, chance decides.
        locked = self.by_rate is msgspec.UNSET or message.call == Call.TRACK
        if locked and held(td, rule, message, context.now):
            return Status.BUSY, 0, Cause.LOCK
        if rule.tracked and not td.blocked_in < td.epoch == td.drained:
            return Status.NOT_TRACKED, 0, Cause.CALLER
        status, index, cause = Status.OK, message.count, Cause.CALLER
        # What a fault calls again is for new faults of the same access; their number tells them apart.
        fault = message.call in (Call.AUG, Call.SEPT_ADD)
        attempt = faulted(td, message.op) if fault else message.attempt
        points = self.points(rule, message, context.now)
        if struck := strike(points, message, attempt, context):
            status, index, cause = STATUS[struck.reason], struck.first, Cause.FAULT
        if (legal := movable(td, rule, message)) < index:
            status, index, cause = Status.WRONG_STATE, legal, Cause.CALLER
        if td.pins is not msgspec.UNSET and (free := released(td, message)) < index:
            status, index, cause = Status.IN_USE, free, Cause.CALLER
        if message.call == Call.AUG and (free := unowned(self.pamt, td, message)) < index:
            status, index, cause = Status.OWNED, free, Cause.CALLER
            first = message.start + free * PAGES[message.level]
            pfn = first + td.frames.get(first)
            if message.pfn >= 0:
                pfn = first + message.pfn - message.start
            leaf = self.pamt.runs(pfn, pfn + PAGES[message.level])
            taken = next(frame for frame, _, owner in leaf if owner)
            context.observe(FrameOwned(message.vm, first, message.end, message.op, taken))
        if index and self.short(td, message, index):
            return Status.NO_PAMT, 0, Cause.CALLER
        return status, index, cause

    def points(self, rule: Rule, message: m.Seamcall, now: int) -> tuple[str, ...]:
        """Where the call may fail by chance or schedule."""
        if message.attempt:  # the vCPUs are out
            return tuple(point for point in rule.points if point != BACKGROUND)
        if self.by_rate is not msgspec.UNSET and message.call == Call.BLOCK:
            return (*self.by_rate.points(message.vm, now), *rule.points)
        return rule.points

    def short(self, td: Td, message: m.Seamcall, leaves: int) -> bool:
        """Would so many leaves of the batch want more pages for the PAMT than came with it?"""
        if self.dynamic is msgspec.UNSET or not makes_small(message):
            return False
        end = message.start + leaves * PAGES[message.level]
        if message.call == Call.AUG and message.pfn >= 0:
            shifts = [(message.start, end, message.pfn - message.start)]
        else:
            shifts = td.frames.runs(message.start, end)
        wanted = sum(tdx_pamt.empty(self.dynamic, s + shift, e + shift) for s, e, shift in shifts)
        return wanted > message.pairs

    def move(self, td: Td, rule: Rule, message: m.Seamcall, end: int, context: Context) -> int:
        """Take the entries of [start, end) to their next state, run by run; as `enter`."""
        pairs = 0
        level = 1 if message.call == Call.DEMOTE else message.level
        if message.call == Call.AUG and message.pfn >= 0:
            td.frames.set(message.start, end, message.pfn - message.start)
        for start, stop, value in td.sept.runs(message.start, end):
            state = rule.moves.get(value & STATE_MASK)
            assert state is not None, (
                f"{Call(message.call).name} of {start:#x}..{stop:#x}"
                f" in state {Entry(value & STATE_MASK).name}"
            )
            pairs += self.enter(td, message.vm, start, stop, state, level, context)
        return pairs

    def enter(
        self, td: Td, vm: int, start: int, end: int, state: int, level: int, context: Context
    ) -> int:
        """Entries, which were all alike, have this state and level now; PAMT owners follow.

        Returns how many pairs of pages the dynamic PAMT took for it; below zero, gave back.
        """
        pairs = step = 0
        if self.dynamic is not msgspec.UNSET:
            before = td.sept.get(start) >> LEVEL_SHIFT == LEVEL_4K
            step = (state != Entry.FREE and level == LEVEL_4K) - before
        td.sept.set(start, end, state | level << LEVEL_SHIFT if state else 0)
        for first, last, shift in td.frames.runs(start, end):
            owner = -1
            if state in (Entry.FREE, Entry.PENDING):
                own(self.pamt, first + shift, last + shift, vm if state else 0)
                owner = self.pamt.get(first + shift)
            context.observe(Sept(vm, first, last, state, level, first + shift, owner))
            if step and self.dynamic is not msgspec.UNSET:
                for counted in tdx_pamt.count(self.dynamic, first + shift, last + shift, step):
                    pairs += counted.pairs
                    part = (counted.start, counted.end, counted.after, counted.pairs)
                    context.observe(PamtCounted(vm, *part))
        return pairs

    def on_vp_exits(self, message: m.VpExits, context: Context) -> None:
        """Every vCPU has been out: nobody is left in an older epoch, and no vCPU holds a lock."""
        td = self.tds[message.vm]
        assert td.drained <= td.epoch, f"epoch {td.epoch} is drained before it began"
        td.drained = td.epoch
        td.zero_step_until = td.entry_until = 0
        context.observe(EpochDrained(message.vm, message.kicked, 1))
        context.send(message.vm | KVM, m.Kicked(message.ticket), context.link)

    def on_vp_enter(self, message: m.VpEnter, context: Context) -> None:
        """A vCPU comes back from a fault. Its sixth at one place has the module look closer, with the tree lock."""
        td = self.tds[message.vm]
        stuck = td.faults[message.access]
        stuck.again = True
        took = context.link
        outcome = Outcome.FAILED if message.elsewhere else Outcome.RETRY
        if stuck.times >= GIVE_UP:
            outcome = Outcome.FAILED
        if stuck.times >= ZERO_STEP_THRESHOLD and not message.elsewhere:
            took = max(took, context.cost("vp_enter_zero_step"))
            td.zero_step_until = context.now + took
        if outcome is Outcome.FAILED:
            came_on(td, message, context)
        context.send(message.vm | GUEST, m.Accessed(message.access, outcome), took)

    # --- the guest's walks -----------------------------------------------------------------------

    def on_access(self, message: m.Access, context: Context) -> None:
        """A vCPU touches or accepts private memory: done, or the first page in the way decides."""
        td = self.tds[message.vm]
        good = (Entry.MAPPED, Entry.PENDING) if message.accept else (Entry.MAPPED,)
        for start, end, value in td.sept.runs(message.start, message.end):
            state = value & STATE_MASK
            if state not in good:
                self.violation(message, start, end, state == Entry.PENDING, context)
                return
        if message.accept:
            self.accept(td, message, context)
            return
        came_on(td, message, context)
        used = (message.vm, message.start, message.end, Share.PRIVATE, True, message.access)
        context.observe(GuestAccess(*used))
        self.answer(message, Outcome.DONE, context.link, context)

    def accept(self, td: Td, message: m.Access, context: Context) -> None:
        """PENDING entries become MAPPED, zeroed. A 2 MiB ACCEPT of 4 KiB entries is a size mismatch."""
        vm, start, end = message.vm, message.start, message.end
        pending = 0
        for run_start, run_end, value in td.sept.runs(start, end):
            level = value >> LEVEL_SHIFT
            if value & STATE_MASK != Entry.PENDING:
                continue
            if message.level == LEVEL_2M > level:
                self.answer(message, Outcome.SIZE_MISMATCH, context.link, context)
                return
            if level > message.level:  # no error to the guest: KVM has to split
                self.violation(message, run_start, run_end, False, context)
                return
            pending += run_end - run_start
            self.enter(td, vm, run_start, run_end, Entry.MAPPED, level, context)
        came_on(td, message, context)
        name = "accept_2m" if message.level == LEVEL_2M else "accept_4k"
        units = pending // PAGES[message.level]
        took = context.cost(name, units) if units else context.cost("td_exit_roundtrip")
        if message.ticking and units and message.level == LEVEL_4K:
            took += storm(message.ticking, units, took, context)
        td.entry_start, td.entry_end, td.entry_until = start, end, context.now + took - 1
        if self.by_rate is not msgspec.UNSET:
            self.by_rate.note(vm, context.now + took, message.ticking)
        context.observe(GuestAccepted(vm, start, end, message.access))
        self.answer(message, Outcome.DONE, took, context)

    def violation(
        self, message: m.Access, start: int, end: int, pending: bool, context: Context
    ) -> None:
        """To the host: no entry (a fault like any other), blocked (the same), or pending and touched (fatal)."""
        if pending:
            met = (message.vm, start, end, Share.PRIVATE, False, message.access)
            context.observe(GuestAccess(*met))
        suspect = suspected(self.tds[message.vm], message.access, start)
        at = (message.access, start, end, message.level)
        fault = m.Violation(*at, pending, message.accept, suspect)
        context.send(message.vm | KVM, fault, context.link)

    def answer(self, message: m.Access, outcome: Outcome, delay: int, context: Context) -> None:
        reply = m.Accessed(message.access, outcome)
        context.send(message.vm | GUEST, reply, max(delay, context.link))

    def on_release(self, message: m.Release, context: Context) -> None:
        """TDG.MEM.PAGE.RELEASE: MAPPED entries are PENDING again, and the host may block them."""
        td, pages = self.tds[message.vm], 0
        for start, end in message.parts:
            for first, last, value in td.sept.runs(start, end):
                if value & STATE_MASK == Entry.MAPPED:
                    level = value >> LEVEL_SHIFT
                    self.enter(td, message.vm, first, last, Entry.PENDING, level, context)
                    pages += last - first
            context.observe(GuestReleased(message.vm, start, end))
        took = context.cost("page_release_4k", pages) if pages else context.link
        context.send(message.vm | GUEST, message, max(took, context.link))

    def on_teardown(self, message: m.Teardown, context: Context) -> None:
        """The file is closed: what can be removed is. The rest goes with the HKID; its frames may be gone by then."""
        vm = vm_base(message.gmem)
        td, pairs = self.tds[vm], 0
        for start, end, value in td.sept.runs(0, td.sept.starts[-1] + 1):
            for first, last, stuck in td.stuck.runs(start, end) if value else ():
                if not stuck:
                    pairs += self.enter(td, vm, first, last, Entry.FREE, 0, context)
        give_back(vm, pairs, context)
        context.send(message.gmem, m.TornDown(), context.link)
        context.after(context.cost("hkid_reclaim"), m.Reclaim(vm))

    def on_reclaim(self, message: m.Reclaim, context: Context) -> None:
        """No frame of the TD is owned by anybody."""
        td, pairs = self.tds[message.vm], 0
        for start, end, value in td.sept.runs(0, td.sept.starts[-1] + 1):
            if value:
                pairs += self.enter(td, message.vm, start, end, Entry.FREE, 0, context)
        give_back(message.vm, pairs, context)
        if self.readmits is not msgspec.UNSET:
            context.send(host_base(message.vm) | ALLOCATOR, message, context.link)

    HANDLERS: ClassVar = {
        m.Seamcall: on_seamcall,
        m.VpExits: on_vp_exits,
        m.VpEnter: on_vp_enter,
        m.Access: on_access,
        m.Release: on_release,
        m.Teardown: on_teardown,
        m.Reclaim: on_reclaim,
    }


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


def held(td: Td, rule: Rule, message: m.Seamcall, now: int) -> bool:
    """Does somebody hold a lock that this call needs? Nobody waits for a TDX lock."""
    if message.call == Call.TRACK:
        return td.drained < td.epoch  # PREVIOUS_TLB_EPOCH_BUSY
    if rule.tree is not Lock.NONE and now < max(td.tree_exclusive_until, td.zero_step_until):
        return True
    if rule.tree is Lock.EXCLUSIVE and now < td.tree_shared_until:
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


def own(pamt: IntervalMap, first: int, last: int, vm: int) -> None:
    """The frames have this owner now, 0 for none."""
    pamt.set(first, last, vm)


def released(td: Td, message: m.Seamcall) -> int:
    """How many leaves of a BLOCK, or of a look before it, come before the first that the guest holds."""
    if message.call in (Call.BLOCK, Call.SEPT_RD):
        end = message.start + message.count * PAGES[message.level]
        for start, _, value in td.sept.runs(message.start, end):
            if value & STATE_MASK == Entry.MAPPED:
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
    if message.count == 1 and message.call == Call.TRACK:
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


def duration(rule: Rule, message: m.Seamcall, count: int, context: Context) -> int:
    """The time of `count` calls; a DEMOTE whose PAMT is static has no pair to pay for."""
    names = rule.costs[message.level]
    if message.call == Call.DEMOTE and not message.pairs:
        names = tuple(name for name in names if name != "pamt_add_pair")
    took = 0
    for name in names:
        took += context.cost(name, count)
    return took


def makes_small(message: m.Seamcall) -> bool:
    """Does the call make leaves of 4 KiB where none were?"""
    return message.call == Call.DEMOTE or (message.call == Call.AUG and message.level == LEVEL_4K)


def give_back(vm: int, pairs: int, context: Context) -> None:
    """The last leaves of some regions are gone (`pairs` below zero): their pages are the host's again."""
    if pairs:
        pool = host_base(vm) | ALLOCATOR
        context.send(pool, m.GiveBack(-pairs * PAIR, vm), context.link)


def storm(ticking: int, pages: int, accept: int, context: Context) -> int:
    """What ticking vCPUs add to fault, AUG and ACCEPT of so many pages: in proportion to their number (ASSUMED).

    `accept` is what ACCEPT alone takes. Two points are published: nobody ticks, and STORM_VCPUS do.
    """
    alone = context.cost("aug_4k", pages) + accept
    return max(0, context.cost("aug_accept_4k_storm", pages) - alone) * ticking // STORM_VCPUS
