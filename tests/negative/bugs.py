"""Bugs to plant: each is one plausible slip in an actor, made for one world or by patching one function."""

from typing import Any

from pytest import MonkeyPatch

from actors import (
    gmem_ask,
    gmem_failure,
    gmem_folios,
    gmem_own,
    gmem_release,
    gmem_steps,
    gmem_store,
    iommu_queue,
    kvm_fault,
    kvm_memory,
    kvm_split,
    kvm_tickets,
    kvm_walk,
    kvm_zap,
    tdx_module,
    tdx_pamt,
    tdx_states,
    vmm_listeners,
)
from actors import iommu as iommu_driver
from actors import messages as m
from actors.address import ALLOCATOR, GMEM, HOST_MAP, KVM, PINS, TDX, VMM, vm_base
from actors.allocator import Allocator
from actors.contract import Consumer, Context, Reason, Share
from actors.conversion import Conversion
from actors.gmem import Gmem
from actors.gmem_failure import Failing, Failures
from actors.gmem_tickets import HOST_FAULT
from actors.host_map import HostMap
from actors.intervals import IntervalMap
from actors.iommu import Iommu
from actors.iommu_queue import Invalidation
from actors.kvm_mmu import KvmMmu
from actors.kvm_plans import PLANS, SPLITTING, ZAP_PRIVATE, ZAPPING, ZAPPING_SHARED, Do, Walk
from actors.observations import (
    HostPte,
    InvalidationEnd,
    LockOrder,
    MemoryRefused,
    Pinned,
    Reserving,
    SeamcallAnswered,
)
from actors.pins import Pins
from actors.protocols import INDEX, Event, Row, Stage
from actors.protocols.table import Who
from actors.tdx_module import TdxModule
from actors.tdx_pamt import Counted, DynamicPamt
from actors.tdx_states import RULES, Call, Status
from tests.helpers import PRIVATE, SHARED, World

Patch = MonkeyPatch


# --- guest_memfd ---------------------------------------------------------------------------------


def before_row(patch: Patch, action: str, what: Any) -> None:
    """Do `what` as well whenever a row's action is taken."""
    then = gmem_steps.ACTIONS[action]

    def both(file: Gmem, conversion: Conversion, who: Who, context: Context) -> None:
        what(file, conversion, who, context)
        then(file, conversion, who, context)

    patch.setitem(gmem_steps.ACTIONS, action, both)


def after_row(patch: Patch, action: str, what: Any) -> None:
    """The same the other way round."""
    first = gmem_steps.ACTIONS[action]

    def both(file: Gmem, conversion: Conversion, who: Who, context: Context) -> None:
        first(file, conversion, who, context)
        what(file, conversion, who, context)

    patch.setitem(gmem_steps.ACTIONS, action, both)


def store_in_prepare(_: World, patch: Patch) -> None:
    """The attribute changes before anybody has agreed."""

    def store(file: Gmem, conversion: Conversion, _: Who, context: Context) -> None:
        gmem_own.set_share(file, conversion, *conversion.range, conversion.to, context)

    before_row(patch, "prepare_in_time", store)


def restructure_in_prepare(_: World, patch: Patch) -> None:
    """Folios are split before anybody has agreed."""

    def restructure(file: Gmem, conversion: Conversion, _: Who, context: Context) -> None:
        changes = gmem_folios.plan(file, *conversion.range, conversion.to)
        gmem_folios.apply(file, changes, context)

    before_row(patch, "prepare_in_time", restructure)


def store_nothing(_: World, patch: Patch) -> None:
    """Success without a store."""
    patch.setattr(gmem_store, "set_share", lambda *_: 1)


def restructure_nothing(_: World, patch: Patch) -> None:
    """Shared pages keep their huge folio."""
    patch.setattr(gmem_folios, "apply", lambda *_: 0)


def lose_a_folio(_: World, patch: Patch) -> None:
    """One folio of a split is not put back into the filemap."""

    def lose(file: Gmem, conversion: Conversion, _: Who, context: Context) -> None:
        at = conversion.start
        gmem_folios.set_order(file, at, at + 1, gmem_folios.LOST, context)

    after_row(patch, "complete_thaw", lose)


def keep_the_stash(_: World, patch: Patch) -> None:
    """A huge folio is whole again, and its metadata is still set aside."""
    set_stash = gmem_folios.set_stash

    def put_aside(file: Gmem, start: int, end: int, present: bool, context: Context) -> None:
        if present:
            set_stash(file, start, end, present, context)

    patch.setattr(gmem_folios, "set_stash", put_aside)


def reply_before_the_thaw(_: World, patch: Patch) -> None:
    """KVM is never told that the invalidation is over."""

    def thaw(file: Gmem, conversion: Conversion, delay: int, context: Context) -> None:
        context.after(delay, m.Thawed(conversion.op))

    for module in (gmem_ask, gmem_store):
        patch.setattr(module, "thaw_after", thaw)


def keep_the_tree_nodes(_: World, patch: Patch) -> None:
    """What was set aside for the store and the folios is not given back."""
    for module in (gmem_steps, gmem_store):
        patch.setattr(module, "spare", lambda *_: None)


def allocate_in_abort(_: World, patch: Patch) -> None:
    """ABORT wants a page to remember what to undo."""

    def ask(file: Gmem, conversion: Conversion, _: Who, context: Context) -> None:
        context.observe(Reserving(file.address, conversion.op, 1))

    after_row(patch, "decide_abort", ask)


def forget_the_iommu_in_abort(_: World, patch: Patch) -> None:
    """One READY is taken for a no."""

    def forget(_: Gmem, conversion: Conversion, __: Who, ___: Context) -> None:
        conversion.refused |= 1 << Consumer.IOMMU

    before_row(patch, "decide_abort", forget)


def take_abort_out(world: World, patch: Patch) -> None:
    """Two-phase without its ABORT: nobody is told of the refusal, and nobody undoes what PREPARE did."""

    def go_on(file: Gmem, conversion: Conversion, _: Who, context: Context) -> None:
        gmem_ask.decide(file, conversion, False, context)
        file.drive(conversion, Event.ALL_ABORTED, context)

    patch.setitem(gmem_steps.ACTIONS, "decide_abort", go_on)
    leave_blocked(world, patch)


def free_poisoned_pages(world: World, _: Patch) -> None:
    """The last close frees every page."""

    def torn_down(file: Gmem, message: m.TornDown, context: Context) -> None:
        file.poison = IntervalMap.filled(0)
        Gmem.HANDLERS[m.TornDown](file, message, context)

    world.replace(GMEM, m.TornDown, torn_down)


def free_before_teardown(world: World, _: Patch) -> None:
    """The last close frees memory at once; the TDX module is asked later."""

    def release(file: Gmem, message: m.ReleaseFile, context: Context) -> None:
        gmem_release.on_torn_down(file, m.TornDown(), context)
        Gmem.HANDLERS[m.ReleaseFile](file, message, context)

    world.replace(GMEM, m.ReleaseFile, release)
    world.drop(GMEM, m.TornDown)


def forget_what_failed(_: World, patch: Patch) -> None:
    """A folio that has failed is unmapped, and the next fault may have it."""
    zapped = gmem_failure.zapped

    def unmarked(file: Gmem, op: int, failure: Failing, context: Context) -> None:
        zapped(file, op, failure, context)
        file.poison, file.failures = IntervalMap.filled(0), Failures(under_way={op: failure})

    patch.setattr(gmem_failure, "zapped", unmarked)


def two_files_of_one_memory(world: World, _: Patch) -> None:
    """The second VM's file is given the first one's frames."""
    world.gmem(1).base_pfn = world.gmem(0).base_pfn


def lose_an_acknowledgement(world: World, _: Patch) -> None:
    """COMMIT is acknowledged and nobody hears it."""
    world.drop(GMEM, m.Committed)


# --- KVM and the TDX module ----------------------------------------------------------------------


def zap_nothing(world: World, _: Patch) -> None:
    """KVM acknowledges COMMIT and leaves its leaves in place."""

    def commit(kvm: KvmMmu, message: m.Commit, context: Context) -> None:
        kvm_zap.committed(kvm, kvm.walks[message.op], context.link, context)

    world.replace(KVM, m.Commit, commit)


def split_nothing(_: World, patch: Patch) -> None:
    """Boundary leaves are overlooked, when they should be split and when they should not be there any more."""

    def pass_over(_: KvmMmu, walk: Walk, end: int, __: Context) -> None:
        walk.cursor = end

    patch.setattr(kvm_split, "boundaries", lambda *_: [])
    patch.setattr(kvm_zap, "unsplit", pass_over)


def split_by_zap(_: World, patch: Patch) -> None:
    """A boundary leaf is removed as a whole: as for ordinary guests, a fault will bring it back."""
    plans = list(PLANS)
    plans[SPLITTING] = ZAP_PRIVATE
    patch.setattr(kvm_walk, "PLANS", tuple(plans))
    leaf = kvm_walk.leaf

    def zapped(kvm: KvmMmu, start: int, end: int, share: Share, level: int, c: Context) -> None:
        leaf(kvm, start, end, share, 0 if share is PRIVATE else level, c)

    patch.setattr(kvm_walk, "leaf", zapped)


def leave_blocked(_: World, patch: Patch) -> None:
    """ABORT after a failed DEMOTE forgets UNBLOCK."""

    def put_back(kvm: KvmMmu, walk: Walk, context: Context) -> None:
        walk.stage = -1
        kvm.drop(kvm_tickets.WALK, walk.op, context)
        kvm_split.settle(kvm, walk, context)

    patch.setattr(kvm_split, "put_back", put_back)


def refuse_in_commit(_: World, patch: Patch) -> None:
    """KVM answers a bug with a no instead of poison, and guest_memfd puts up with that."""
    row = Row(Stage.COMMITTING, Event.REFUSED, "note", Stage.COMMITTING, "")
    patch.setitem(INDEX["two-phase", SHARED], (row.stage, row.event), row)

    def refuse(kvm: KvmMmu, walk: Walk, _: Reason, start: int, __: int, context: Context) -> None:
        no = m.Refused(walk.op, Consumer.KVM_MMU, Reason.BUG, start)
        context.send(walk.gmem, no, context.link)

    patch.setattr(kvm_zap, "left_mapped", refuse)


def attribute_under_mmu_lock(_: World, patch: Patch) -> None:
    """A walk takes the invalidate lock to look an attribute up (once a TODO of the in-place series)."""
    locked = kvm_walk.locked

    def look(kvm: KvmMmu, walk: Walk, context: Context) -> None:
        for taken in (True, False):
            context.observe(LockOrder(kvm.vm, walk.op, gmem_steps.ILOCK_RANK, taken))
        locked(kvm, walk, context)

    patch.setattr(kvm_walk, "locked", look)


def drop_the_kick(_: World, patch: Patch) -> None:
    """REMOVE follows TRACK at once, and the module does not mind."""
    plans = list(PLANS)
    plans[ZAPPING] = (Call.BLOCK, Call.TRACK, Call.REMOVE)
    patch.setattr(kvm_walk, "PLANS", tuple(plans))
    careless = RULES[Call.REMOVE]._replace(tracked=False)
    patch.setitem(tdx_states.RULES, Call.REMOVE, careless)


def without(patch: Patch, plan: int, *left_out: int) -> None:
    """A walk's plan without these entries."""
    plans = list(PLANS)
    plans[plan] = tuple(entry for entry in PLANS[plan] if entry not in left_out)
    patch.setattr(kvm_walk, "PLANS", tuple(plans))


def thaw_nothing(world: World, _: Patch) -> None:
    """INV_END is told of and answered, and the range stays frozen."""

    def thaw(kvm: KvmMmu, message: m.Thaw, context: Context) -> None:
        frozen = kvm.invalidations[message.op]
        KvmMmu.HANDLERS[m.Thaw](kvm, message, context)
        kvm.invalidations[message.op] = frozen

    world.replace(KVM, m.Thaw, thaw)


def lose_the_end_of_an_invalidation(world: World, _: Patch) -> None:
    """The mm has changed its page tables, and KVM never hears of it."""
    world.drop(KVM, m.RangeEnd)


def forget_to_track(_: World, patch: Patch) -> None:
    """REMOVE follows BLOCK and a kick: the module will have none of it."""
    without(patch, ZAPPING, Call.TRACK)


def split_without_a_kick(_: World, patch: Patch) -> None:
    """DEMOTE follows TRACK at once: the module will have none of it."""
    without(patch, SPLITTING, Do.KICK)


def fail_by_itself(world: World, _: Patch) -> None:
    """The module answers REMOVE with an error, and no fault point has struck."""

    def seamcall(tdx: TdxModule, message: m.Seamcall, context: Context) -> None:
        if message.call != Call.REMOVE:
            TdxModule.HANDLERS[m.Seamcall](tdx, message, context)
            return
        vm, call, level = message.vm, message.call, message.level
        context.observe(
            SeamcallAnswered(vm, call, message.start, message.end, Status.BUG, message.op)
        )
        no = m.SeamcallDone(message.ticket, call, Status.BUG, 0, 0, level)
        context.send(vm | KVM, no, context.link)

    world.replace(TDX, m.Seamcall, seamcall, vm=-1)


def refuse_to_block(_: World, patch: Patch) -> None:
    """The module takes mapped entries for ones that it cannot block."""
    movable = tdx_module.movable

    def refused(*arguments: Any) -> int:
        return 0 if arguments[-1].call == Call.BLOCK else movable(*arguments)

    patch.setattr(tdx_module, "movable", refused)


def forget_the_flush(_: World, patch: Patch) -> None:
    """KVM zaps shared leaves and leaves their translations in the TLBs."""
    next_step = kvm_zap.next_step

    def on(kvm: KvmMmu, walk: Walk, context: Context) -> None:
        walk.zapped = False
        next_step(kvm, walk, context)

    patch.setitem(KvmMmu.WAYS, ZAPPING_SHARED, KvmMmu.WAYS[ZAPPING_SHARED]._replace(then=on))


def thaw_with_the_zap(world: World, patch: Patch) -> None:
    """KVM ends the invalidation when it has zapped, and guest_memfd has not stored yet."""
    committed = kvm_zap.committed

    def thawed(kvm: KvmMmu, walk: Walk, took: int, context: Context) -> None:
        committed(kvm, walk, took, context)
        del kvm.invalidations[walk.op]
        context.observe(InvalidationEnd(kvm.vm, walk.op))
        kvm_fault.thaw(kvm, context)

    def thaw(_: KvmMmu, message: m.Thaw, context: Context) -> None:
        context.send(message.gmem, m.Thawed(message.op), context.link)

    patch.setattr(kvm_zap, "committed", thawed)
    world.replace(KVM, m.Thaw, thaw)


def forget_the_iotlb(_: World, patch: Patch) -> None:
    """Entries of the IOMMU are cleared, and the IOTLB still has them."""
    patch.setattr(iommu_driver, "invalidate", lambda *_: (1, Reason.NONE, False))


def wait_for_no_iotlb(_: World, patch: Patch) -> None:
    """The IOTLB is invalidated, and nobody waits for that to be over."""
    invalidate = iommu_queue.invalidate

    def at_once(
        iommu: Iommu, what: Invalidation, ready_in: int, context: Context
    ) -> tuple[int, Reason, bool]:
        invalidate(iommu, what, ready_in, context)
        return ready_in, Reason.NONE, False

    patch.setattr(iommu_driver, "invalidate", at_once)


def no_sequence_check(_: World, patch: Patch) -> None:
    """A fault installs what it looked up before the conversion."""

    def locked(kvm: KvmMmu, fault: kvm_fault.PageFault, context: Context) -> None:
        kvm_fault.augment(kvm, fault, context)

    patch.setattr(kvm_fault, "locked", locked)


def forget_the_parked(_: World, patch: Patch) -> None:
    """INV_END wakes nobody up."""
    patch.setattr(kvm_fault, "resume", lambda *_: None)


def forget_to_count(_: World, patch: Patch) -> None:
    """Nobody tells the dynamic PAMT that a leaf is gone."""
    count = tdx_pamt.count

    def counted(pamt: DynamicPamt, first: int, last: int, step: int) -> list[Counted]:
        return count(pamt, first, last, step) if step > 0 else []

    patch.setattr(tdx_pamt, "count", counted)


def count_a_split_as_one(_: World, patch: Patch) -> None:
    """A DEMOTE adds one leaf to its region."""
    count = tdx_pamt.count

    def counted(pamt: DynamicPamt, first: int, last: int, step: int) -> list[Counted]:
        return count(pamt, first, first + 1 if step > 0 else last, step)

    patch.setattr(tdx_pamt, "count", counted)


def keep_the_pair(_: World, patch: Patch) -> None:
    """A region without leaves of 4 KiB keeps its metadata pages."""
    patch.setattr(tdx_pamt.Counted, "pairs", property(lambda part: int(not part.before)))


def look_closer_for_ever(_: World, patch: Patch) -> None:
    """The module's list of what it suspects is never emptied."""
    patch.setattr(tdx_module, "came_on", lambda *_: None)


def keep_what_prepare_reserved(_: World, patch: Patch) -> None:
    """KVM's refusal forgets the pages that it had for the split."""

    def spare(_: KvmMmu, walk: Walk, __: Context) -> None:
        walk.reserved = 0

    patch.setattr(kvm_memory, "spare", spare)


def leave_the_rest(_: World, patch: Patch) -> None:
    """A walk that meets a bug tells of the page in hand, and passes over what comes after it in its step."""
    keep = kvm_zap.keep

    def keep_all(
        kvm: KvmMmu, walk: Walk, reason: Reason, start: int, end: int, context: Context
    ) -> None:
        keep(kvm, walk, reason, start, end, context)
        last = walk.todo[0][1]
        if end < last:
            walk.kept.append((end, last))

    patch.setattr(kvm_zap, "keep", keep_all)


# --- pins and memory -----------------------------------------------------------------------------


def drop_pins_twice(world: World, _: Patch) -> None:
    """A holder that was made to let go drops its reference once more."""

    def drop(pins: Pins, message: m.DropPins, context: Context) -> None:
        for start, end in pins.held.values():
            context.observe(Pinned(pins.vm, start, end, False))

    world.replace(PINS, m.DropPins, drop)


def overlook_pins(world: World, _: Patch) -> None:
    """PREPARE does not look at references."""

    def prepare(pins: Pins, message: m.Prepare, context: Context) -> None:
        ready = m.Ready(message.op, Consumer.PINS)
        context.send(message.gmem, ready, context.link)

    world.replace(PINS, m.Prepare, prepare)


def ask_about_all_of_it(_: World, patch: Patch) -> None:
    """The work list is forgotten: references count where nothing changes, too."""
    patch.setattr(gmem_ask, "differing", lambda *_: ())


def forget_to_unpin(world: World, _: Patch) -> None:
    """A holder lets go, and its reference stays."""

    def unpin(pins: Pins, message: m.Unpin, context: Context) -> None:
        context.observe(Pinned(pins.vm, message.start, message.end, False))

    world.replace(PINS, m.Unpin, unpin)


def kill_for_memory(world: World, _: Patch) -> None:
    """An empty pool is a reason to kill whoever asked; his answer comes later."""

    def reserve(pool: Allocator, message: m.Reserve, context: Context) -> None:
        vm = vm_base(message.reply_to)
        context.observe(MemoryRefused(vm, message.ticket, message.pages))
        context.send(vm | VMM, m.VmDead(), context.link)
        context.send(message.reply_to, m.Reserved(message.ticket, False), 10 * context.link)

    cell = world.host.cells[world.address(ALLOCATOR, -1)]
    cell.handlers = {**cell.handlers, m.Reserve: reserve}


# --- VMM -----------------------------------------------------------------------------------------


def forget_the_devices(_: World, patch: Patch) -> None:
    """The bitmap follows a conversion to shared, and no listener is told."""
    patch.setattr(vmm_listeners, "populates", lambda *_: [])


# --- host mapping --------------------------------------------------------------------------------


def unmap_nothing(world: World, _: Patch) -> None:
    """The VMM's page tables are forgotten in COMMIT."""

    def commit(host: HostMap, message: m.Commit, context: Context) -> None:
        done = m.Committed(message.op, Consumer.HOST_MAP)
        context.send(message.gmem, done, context.link)

    world.replace(HOST_MAP, m.Commit, commit)


def unmap_in_prepare(world: World, _: Patch) -> None:
    """The VMM's page tables are cleared before anybody has agreed."""

    def prepare(host: HostMap, message: m.Prepare, context: Context) -> None:
        host.ptes.set(message.start, message.end, 0)
        context.observe(HostPte(host.vm, message.start, message.end, False))
        HostMap.HANDLERS[m.Prepare](host, message, context)

    world.replace(HOST_MAP, m.Prepare, prepare)


def host_may_fault_anywhere(world: World, _: Patch) -> None:
    """The host's page faults are never answered with SIGBUS."""

    def fault(file: Gmem, message: m.HostFault, context: Context) -> None:
        file.ilock.take(file.conversion_ticket(0) + HOST_FAULT, False, context.now)
        context.send(message.reply_to, m.HostPage(message.ticket, True), context.link)

    world.replace(GMEM, m.HostFault, fault)
    world.drop(GMEM, m.HostFaulted)


def callbacks_fail_unasked(world: World, _: Patch) -> None:
    """KVM's mmu_notifier callback returns ENOMEM, though nobody said that it may fail."""

    def range_start(kvm: KvmMmu, message: m.RangeStart, context: Context) -> None:
        no = m.RangeStarted(message.number, Reason.NO_MEMORY)
        context.send(kvm.vm | HOST_MAP, no, context.link)

    world.replace(KVM, m.RangeStart, range_start)
