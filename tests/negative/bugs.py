"""Bugs to plant: each is one plausible slip in an actor, made for one world or by patching one function."""

from types import SimpleNamespace
from typing import Any

import msgspec
from pytest import MonkeyPatch

from actors import messages as m
from actors import pins
from actors.address import ALLOCATOR, GMEM, GUEST, HOST_MAP, KVM, PINS, TDX, VMM, host_base, vm_base
from actors.allocator import Allocator
from actors.contract import PAGES_2M, Consumer, Context, Place, Reason, Share, Trace
from actors.gmem import ask as gmem_ask
from actors.gmem import failure as gmem_failure
from actors.gmem import folios as gmem_folios
from actors.gmem import inode as gmem
from actors.gmem import marks as gmem_marks
from actors.gmem import own as gmem_own
from actors.gmem import punch as gmem_punch
from actors.gmem import release as gmem_release
from actors.gmem import steps as gmem_steps
from actors.gmem import store as gmem_store
from actors.gmem.conversion import Conversion
from actors.gmem.failure import Failing, Failures
from actors.gmem.files import SharedInode
from actors.gmem.inode import Gmem
from actors.guest.td import Guest
from actors.host_map import Cleared, HostMap
from actors.intervals import IntervalMap
from actors.iommu import driver as iommu
from actors.iommu import driver as iommu_driver
from actors.iommu import queue as iommu_queue
from actors.iommu.driver import Iommu
from actors.iommu.queue import Invalidation
from actors.kvm import entry as kvm_entry
from actors.kvm import fault as kvm_fault
from actors.kvm import invalidation as kvm_invalidation
from actors.kvm import memory as kvm_memory
from actors.kvm import split as kvm_split
from actors.kvm import tickets as kvm_tickets
from actors.kvm import walk as kvm_walk
from actors.kvm import zap as kvm_zap
from actors.kvm.mmu import KvmMmu
from actors.kvm.plans import (
    PLANS,
    SPLITTING,
    UNBLOCKING,
    ZAP_PRIVATE,
    ZAPPING,
    ZAPPING_SHARED,
    Do,
    Walk,
)
from actors.locks.holders import RELEASE_OP
from actors.locks.observations import LockAsked, LockLeft
from actors.observations import (
    CountsThawed,
    HostPte,
    InvalidationEnd,
    Leaf,
    MemoryRefused,
    Pinned,
    SeamcallAnswered,
)
from actors.other_vm import OtherVm
from actors.pins import Pins
from actors.protocols import INDEX, Event, Row, Stage
from actors.protocols.table import Who
from actors.tdx import entries as tdx_entries
from actors.tdx import guest as tdx_guest
from actors.tdx import pamt as tdx_pamt
from actors.tdx import states as tdx_states
from actors.tdx import verdict as tdx_verdict
from actors.tdx.module import TdxModule
from actors.tdx.pamt import Counted, DynamicPamt
from actors.tdx.states import LEVEL_2M, RULES, Call, Status
from actors.vmm import kill as vmm_kill
from actors.vmm import listeners as vmm_listeners
from actors.vmm.process import Vmm
from tests.helpers import PRIVATE, World

Patch = MonkeyPatch
EDGE = 0x1F0  # where runs of two boundary leaves begin


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


def another_row(patch: Patch, row: Row) -> None:
    """Every protocol that has this stage takes the event there, too, under all options that were built so far."""
    for index in INDEX.values():
        if row.stage in {stage for stage, _ in index} and (row.stage, row.event) not in index:
            patch.setitem(index, (row.stage, row.event), row)


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


def thaw_late(_: World, patch: Patch) -> None:
    """guest_memfd sleeps for 20 ms before it ends an invalidation."""
    thaw_after = gmem_own.thaw_after

    def late(file: Gmem, conversion: Conversion, delay: int, context: Context) -> None:
        thaw_after(file, conversion, delay + 20_000_000, context)

    for module in (gmem_ask, gmem_store):
        patch.setattr(module, "thaw_after", late)


def keep_the_tree_nodes(_: World, patch: Patch) -> None:
    """What was set aside for the store and the folios is not given back."""
    for module in (gmem_steps, gmem_store):
        patch.setattr(module, "spare", lambda *_: None)


def allocate_in_abort(world: World, _: Patch) -> None:
    """ABORT wants a page table for what it puts back."""

    def abort(host: HostMap, message: m.Abort, context: Context) -> None:
        request = m.Reserve(host.vm | HOST_MAP, message.op, 1)
        context.send(host_base(host.vm) | ALLOCATOR, request, context.link)
        type(host).HANDLERS[m.Abort](host, message, context)

    world.replace(HOST_MAP, m.Abort, abort)
    world.drop(HOST_MAP, m.Reserved)


def block_again_in_abort(_: World, patch: Patch) -> None:
    """ABORT blocks a leaf once more, so as to be sure of it."""

    def abort(kvm: KvmMmu, walk: Walk, context: Context) -> None:
        walk.settled, walk.todo = False, [(walk.start, walk.end, LEVEL_2M)]
        kvm.take(kvm_tickets.WALK, walk.op, context)
        walk.aborting = True

    patch.setattr(kvm_split, "abort", abort)


def commit_twice(_: World, patch: Patch) -> None:
    """One consumer is told to COMMIT once more."""
    after_row(patch, "decide_commit", commit_of_the_host)


def commit_after_abort(_: World, patch: Patch) -> None:
    """The ABORT of one consumer is followed by a COMMIT."""
    for stage in (Stage.ABORTING, Stage.THAWING):
        another_row(patch, Row(stage, Event.COMMITTED, "note", stage, ""))
    after_row(patch, "decide_abort", commit_of_the_host)


def commit_of_the_host(file: Gmem, conversion: Conversion, _: Who, context: Context) -> None:
    where = gmem_own.gfns(conversion)
    commit = m.Commit(file.address, conversion.op, *where, conversion.to, Trace.NONE, True)
    context.send(vm_base(file.address) | HOST_MAP, commit, context.link + 1)


def tell_of_the_start(_: World, patch: Patch) -> None:
    """Whatever page a consumer names, the VMM is told of the first one."""
    told = gmem_own.fail

    def fail(file: Gmem, conversion: Conversion, reason: Reason, _: int, *rest: Any) -> None:
        told(file, conversion, reason, conversion.start, *rest)

    patch.setattr(gmem, "fail", fail)


def tell_of_the_end(_: World, patch: Patch) -> None:
    """The VMM is told that all but the last page of the range is converted."""
    told = gmem_own.fail

    def fail(file: Gmem, conversion: Conversion, reason: Reason, _: int, *rest: Any) -> None:
        told(file, conversion, reason, conversion.end - 1, *rest)

    patch.setattr(gmem, "fail", fail)


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
        type(file).HANDLERS[m.TornDown](file, message, context)

    world.replace(GMEM, m.TornDown, torn_down)


def say_nothing_of_what_stays(_: World, patch: Patch) -> None:
    """KVM leaves no word of a page that a teardown could not take out."""
    patch.setattr(kvm_zap, "left_mapped", lambda *_: None)


def take_nothing_out(world: World, _: Patch) -> None:
    """The module answers a batch of a teardown and does nothing."""

    def take_out(_: TdxModule, message: m.TakeOut, context: Context) -> None:
        done = m.TakenOut(message.instance, message.start, message.end)
        context.send(message.vm | KVM, done, context.link)

    world.replace(TDX, m.TakeOut, take_out, -1)


def free_before_teardown(_: World, patch: Patch) -> None:
    """The last close frees memory at once; the TDX module is asked later."""
    release, free = gmem_release.release, gmem_release.free

    def released(file: Gmem, context: Context) -> None:
        release(file, context)
        free(file, context)

    patch.setattr(gmem_release, "release", released)
    patch.setattr(gmem_release, "free", lambda *_: None)


def drop_ilock_before_teardown(_: World, patch: Patch) -> None:
    """The last close drops its lock while KVM still maps the file."""
    release = gmem_release.release

    def released(file: Gmem, context: Context) -> None:
        release(file, context)
        context.observe(LockLeft(vm_base(file.address), "ilock", RELEASE_OP, 0))

    patch.setattr(gmem_release, "release", released)


def freeze_the_range_alone(_: World, patch: Patch) -> None:
    """An invalidation is not rounded out to whole pages of the file."""

    def begin(file: Gmem, conversion: Conversion, first: int, last: int, context: Context) -> None:
        shift = conversion.shift
        message = m.Freeze(file.address, conversion.op, first + shift, last + shift)
        context.send(vm_base(file.address) | KVM, message, context.link)

    patch.setattr(gmem_ask, "begin_invalidation", begin)


def forget_what_failed(_: World, patch: Patch) -> None:
    """A folio that has failed is unmapped, and the next fault may have it."""
    zapped = gmem_failure.zapped

    def unmarked(file: Gmem, op: int, failure: Failing, context: Context) -> None:
        zapped(file, op, failure, context)
        file.poison, file.failures = IntervalMap.filled(0), Failures(under_way={op: failure})

    patch.setattr(gmem_failure, "zapped", unmarked)


def two_files_of_one_memory(world: World, _: Patch) -> None:
    """The second VM's file is given the first one's frames."""
    first: dict[int, int] = {}  # by host

    def share(file: Gmem) -> None:
        file.base_pfn = first.setdefault(host_base(file.address), file.base_pfn)

    for vm in (0, 1):
        world.alter(GMEM, share, vm)


def two_files_and_a_careless_module(world: World, patch: Patch) -> None:
    """And the TDX module does not look who has them."""
    two_files_of_one_memory(world, patch)
    patch.setattr(tdx_verdict, "unowned", lambda _, __, message: message.count)


def one_frame_at_two_places(world: World, _: Patch) -> None:
    """A fault is told the frame of the page before its own."""

    def got(kvm: KvmMmu, message: m.GotPfn, context: Context) -> None:
        wrong = msgspec.structs.replace(message, pfn=message.pfn - 1, order=0)
        type(kvm).HANDLERS[m.GotPfn](kvm, wrong, context)

    world.replace(KVM, m.GotPfn, got)


def one_frame_and_a_careless_module(world: World, patch: Patch) -> None:
    """And the TDX module does not look whether it is mapped."""
    one_frame_at_two_places(world, patch)
    patch.setattr(tdx_verdict, "unowned", lambda _, __, message: message.count)


def keep_the_owner(_: World, patch: Patch) -> None:
    """PAGE.REMOVE leaves the PAMT's entry as it is."""
    own = tdx_entries.own

    def owned(pamt: IntervalMap, first: int, last: int, vm: int) -> None:
        if vm:
            own(pamt, first, last, vm)

    patch.setattr(tdx_entries, "own", owned)


def own_nothing(_: World, patch: Patch) -> None:
    """PAGE.AUG does not say in the PAMT whose frame it is."""
    patch.setattr(tdx_entries, "own", lambda pamt, first, last, vm: None)


def forget_what_is_left(_: World, patch: Patch) -> None:
    """KVM says READY to a range that it could not unmap the last time."""
    patch.setattr(kvm_zap, "first_left", lambda *_: -1)


def punch_before_the_zap(_: World, patch: Patch) -> None:
    """A hole's folios go before KVM has unmapped them."""
    locked, truncate = gmem_punch.locked, gmem_punch.truncate

    def early(file: Gmem, op: int, context: Context) -> None:
        locked(file, op, context)
        if op in file.punches:
            truncate(file, file.punches[op], context)

    patch.setattr(gmem_punch, "locked", early)
    patch.setattr(gmem_punch, "truncate", lambda *_: 1)


def answer_with_the_start(_: World, patch: Patch) -> None:
    """error_offset is where the range begins, whatever refused where."""
    finish = gmem_steps.finish

    def finished(file: Gmem, conversion: Conversion, redundant: bool, context: Context) -> None:
        if conversion.reason:
            conversion.offset = conversion.start
        finish(file, conversion, redundant, context)

    patch.setattr(gmem_steps, "finish", finished)


def refuse_at_the_start(_: World, patch: Patch) -> None:
    """Consumers refuse the range, and not the leaf or page that is in their way."""

    def refused(op: int, who: Consumer, reason: Reason, offset: int) -> m.Refused:
        return m.Refused(op, who, reason, EDGE if offset > EDGE else offset)

    for module in (kvm_split, iommu, pins):
        patch.setattr(module, "m", SimpleNamespace(**{**vars(m), "Refused": refused}))


def lose_an_acknowledgement(world: World, _: Patch) -> None:
    """COMMIT is acknowledged and nobody hears it."""
    world.drop(GMEM, m.Committed)


def ask_the_owner_alone(world: World, _: Patch) -> None:
    """The loop over the inode's files ends after the first: no other VM's KVM is asked to unmap."""

    def forget(file: Gmem) -> None:
        file.protocol = file.protocol.partition("?files=")[0]

    world.alter(GMEM, forget)


def freeze_the_owner_alone(world: World, _: Patch) -> None:
    """The others unmap, and nobody has told them when the invalidation begins and ends, or that the file is closed."""

    def forget(file: Gmem) -> None:
        if isinstance(file, SharedInode):
            file.files = 1

    world.alter(GMEM, forget)


def let_others_map_private_memory(_: World, patch: Patch) -> None:
    """A fault of another VM maps the 2 MiB after it as well, as private as they are, and no walk will find that."""
    installed = kvm_fault.installed

    def both(kvm: KvmMmu, fault: kvm_fault.PageFault, context: Context) -> None:
        first = fault.start // PAGES_2M * PAGES_2M + PAGES_2M
        context.observe(Leaf(kvm.vm, first, first + PAGES_2M, PRIVATE, LEVEL_2M))
        installed(kvm, fault, context)

    patch.setattr(kvm_fault, "installed", both)


# --- KVM and the TDX module ----------------------------------------------------------------------


def zap_nothing(world: World, _: Patch) -> None:
    """KVM acknowledges COMMIT and leaves its leaves in place."""

    def commit(kvm: KvmMmu, message: m.Commit, context: Context) -> None:
        if message.op in kvm.walks:
            kvm_zap.committed(kvm, kvm.walks[message.op], context.link, context)
        else:
            context.send(message.gmem, m.Committed(message.op, Consumer.KVM_MMU), context.link)

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

    def zapped(
        kvm: KvmMmu, start: int, end: int, share: Share, level: int, c: Context, op: int = -1
    ) -> None:
        leaf(kvm, start, end, share, 0 if share is PRIVATE else level, c, op)

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
    for stage in (Stage.COMMITTING, Stage.ZAPPING):
        another_row(patch, Row(stage, Event.REFUSED, "note", stage, ""))

    def refuse(kvm: KvmMmu, walk: Walk, _: Reason, start: int, __: int, context: Context) -> None:
        no = m.Refused(walk.op, Consumer.KVM_MMU, Reason.BUG, start)
        context.send(walk.gmem, no, context.link)

    patch.setattr(kvm_zap, "left_mapped", refuse)


def attribute_under_mmu_lock(_: World, patch: Patch) -> None:
    """A walk takes the invalidate lock to look an attribute up (once a TODO of the in-place series)."""
    locked = kvm_walk.locked

    def look(kvm: KvmMmu, walk: Walk, context: Context) -> None:
        context.observe(LockAsked(kvm.vm, "ilock", walk.op, False))
        context.observe(LockLeft(kvm.vm, "ilock", walk.op, 0))
        locked(kvm, walk, context)

    patch.setattr(kvm_walk, "locked", look)


def drop_the_kick(_: World, patch: Patch) -> None:
    """REMOVE follows TRACK at once, and the module does not mind."""
    without(patch, ZAPPING, Do.KICK)
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
        type(kvm).HANDLERS[m.Thaw](kvm, message, context)
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
            type(tdx).HANDLERS[m.Seamcall](tdx, message, context)
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
    movable = tdx_verdict.movable

    def refused(*arguments: Any) -> int:
        return 0 if arguments[-1].call == Call.BLOCK else movable(*arguments)

    patch.setattr(tdx_verdict, "movable", refused)


def thaw_with_the_zap(world: World, patch: Patch) -> None:
    """KVM ends the invalidation when it has zapped, and guest_memfd has not stored yet."""
    committed = kvm_zap.committed

    def thawed(kvm: KvmMmu, walk: Walk, took: int, context: Context) -> None:
        committed(kvm, walk, took, context)
        del kvm.invalidations[walk.op]
        context.observe(InvalidationEnd(kvm.vm, walk.op, True))
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


def let_nobody_in(_: World, patch: Patch) -> None:
    """wait_for_sept_zap stays set when the retry is over."""
    patch.setattr(kvm_entry, "let_in", lambda *_: None)


def map_it_huge(world: World, _: Patch) -> None:
    """A fault maps 2 MiB whatever folios are there."""

    def got(kvm: KvmMmu, message: m.GotPfn, context: Context) -> None:
        type(kvm).HANDLERS[m.GotPfn](kvm, msgspec.structs.replace(message, order=9), context)

    world.replace(KVM, m.GotPfn, got)


def forget_to_flush(_: World, patch: Patch) -> None:
    """A zap of shared leaves does not remember that it owes a remote TLB flush."""
    zapped = kvm_zap.zapped

    def done(kvm: KvmMmu, walk: Walk, leaves: int, context: Context) -> None:
        zapped(kvm, walk, leaves, context)
        walk.zapped = False

    patch.setitem(KvmMmu.WAYS, ZAPPING_SHARED, KvmMmu.WAYS[ZAPPING_SHARED]._replace(done=done))


def try_once(_: World, patch: Patch) -> None:
    """The first BUSY is the last word, but for UNBLOCK."""

    def again(walk: Walk, status: int) -> bool:
        return status == Status.BUSY and walk.plan == UNBLOCKING

    patch.setattr(kvm_walk, "again", again)


def let_in_before_unblock(_: World, patch: Patch) -> None:
    """After a second BUSY vCPUs may enter, and the leaf is unblocked then."""
    put_back = kvm_split.put_back

    def careless(kvm: KvmMmu, walk: Walk, context: Context) -> None:
        kvm_entry.let_in(kvm, context)
        put_back(kvm, walk, context)

    patch.setattr(kvm_split, "put_back", careless)


def let_in_before_the_leaf_is_unblocked(_: World, patch: Patch) -> None:
    """They may enter once the TRACK of the way back has worked."""
    answered = kvm_walk.answered

    def careless(kvm: KvmMmu, walk: Walk, answer: m.SeamcallDone, context: Context) -> None:
        if walk.plan == UNBLOCKING and answer.status == Status.OK:
            kvm_entry.let_in(kvm, context)
        answered(kvm, walk, answer, context)

    patch.setattr(kvm_walk, "answered", careless)


def write_nothing_back(_: World, patch: Patch) -> None:
    """KVM forgets PHYMEM.PAGE.WBINVD after REMOVE."""
    without(patch, ZAPPING, Call.WBINVD)


def give_up_at_once(_: World, patch: Patch) -> None:
    """The IOMMU driver takes every invalidation for one that hangs."""
    invalidate = iommu_queue.invalidate

    def impatient(unit: Iommu, what: Invalidation, ready_in: int, context: Context) -> Any:
        took, _, injected = invalidate(unit, what, ready_in, context)
        return took, Reason.TIMEOUT, injected

    patch.setattr(iommu_driver, "invalidate", impatient)


def no_sequence_check(_: World, patch: Patch) -> None:
    """A fault installs what it looked up before the conversion."""

    patch.setattr(kvm_fault, "outdated", lambda *_: False)


def thaw_without_the_lock(world: World, _: Patch) -> None:
    """INV_END does not wait for whoever holds mmu_lock."""

    def thaw(kvm: KvmMmu, message: m.Thaw, context: Context) -> None:
        del kvm.invalidations[message.op]
        held = kvm_invalidation.written(kvm, kvm_tickets.THAW, message.op)
        context.observe(InvalidationEnd(kvm.vm, message.op, held))
        context.send(message.gmem, m.Thawed(message.op), context.link)
        kvm_fault.thaw(kvm, context)

    world.replace(KVM, m.Thaw, thaw)


def thaw_in_the_walk(world: World, patch: Patch) -> None:
    """The last step of a zap ends the invalidation, under the lock that it holds."""
    thaw_without_the_lock(world, patch)
    zapped = kvm_zap.zapped

    def ended(kvm: KvmMmu, walk: Walk, leaves: int, context: Context) -> None:
        zapped(kvm, walk, leaves, context)
        held = kvm_invalidation.written(kvm, kvm_tickets.WALK, walk.op)
        context.observe(InvalidationEnd(kvm.vm, walk.op, held))

    patch.setitem(KvmMmu.WAYS, ZAPPING, KvmMmu.WAYS[ZAPPING]._replace(done=ended))


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
    patch.setattr(tdx_guest, "came_on", lambda *_: None)


def keep_what_prepare_reserved(_: World, patch: Patch) -> None:
    """KVM's refusal forgets the pages that it had for the split."""

    def spare(_: KvmMmu, walk: Walk, __: Context) -> None:
        walk.reserved = 0

    patch.setattr(kvm_memory, "spare", spare)


def let_in_after_the_kick(_: World, patch: Patch) -> None:
    """vCPUs may enter when all have been out, and the retry is still to come."""
    kicked = kvm_walk.kicked

    def early(kvm: KvmMmu, walk: Walk, context: Context) -> None:
        kvm_entry.let_in(kvm, context)
        kicked(kvm, walk, context)

    patch.setattr(kvm_walk, "kicked", early)


def kick_and_keep_nobody(world: World, _: Patch) -> None:
    """KVM takes the guest for empty, and it is not."""

    def kick(guest: Guest, message: m.Kick, context: Context) -> None:
        type(guest).HANDLERS[m.Kick](guest, msgspec.structs.replace(message, stay=False), context)

    world.replace(GUEST, m.Kick, kick)


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


# --- what marks a page that could not be unmapped, and what stays of it --------------------------


def mark_one_page(_: World, patch: Patch) -> None:
    """Whatever a mark names, it is the first page of that."""
    named = gmem_marks.named

    def first(*arguments: Any, **options: Any) -> list[Place]:
        return [(start, start + 1) for start, _ in named(*arguments, **options)]

    patch.setattr(gmem_marks, "named", first)


def mark_the_page_alone(_: World, patch: Patch) -> None:
    """The mark of a folio is set on the page that could not be unmapped, and on no other of its folio."""
    patch.setattr(gmem_marks, "named", lambda _, start, end, paid=False: [(start, end)])


def refer_to_one_page(world: World, _: Patch) -> None:
    """A reference is kept on the page beside the one that could not be unmapped."""

    def keep(file: Gmem, message: m.KeepReference, context: Context) -> None:
        beside = message.start ^ 1
        wrong = msgspec.structs.replace(message, start=beside, end=beside + 1)
        type(file).HANDLERS[m.KeepReference](file, wrong, context)

    world.replace(GMEM, m.KeepReference, keep)


def leave_poison_in_the_filemap(_: World, patch: Patch) -> None:
    """All but the poisoned page is stored, and that keeps its folio."""
    set_order = gmem_folios.set_order

    def stay(file: Gmem, start: int, end: int, order: int, context: Context) -> None:
        if order != gmem_folios.LOST:
            set_order(file, start, end, order, context)

    patch.setattr(gmem_folios, "set_order", stay)


# --- the IOMMU driver ----------------------------------------------------------------------------


def keep_the_descriptor(_: World, patch: Patch) -> None:
    """A request that is over keeps its place in the invalidation queue."""

    def forget(driver: Iommu, key: int, unmap: iommu.Unmap) -> None:
        del driver.unmaps[key]
        del driver.tickets[unmap.gmem, unmap.op]

    patch.setattr(Iommu, "forget", forget)


def restore_one_entry(_: World, patch: Patch) -> None:
    """ABORT maps the first of the entries again that PREPARE has unmapped."""
    map_again = Iommu.map_again

    def first(driver: Iommu, unmap: iommu.Unmap, context: Context) -> int:
        unmap.saved = unmap.saved[:1]
        return map_again(driver, unmap, context)

    patch.setattr(Iommu, "map_again", first)


# --- pages of the host's pool that go back twice -------------------------------------------------


def twice(patch: Patch, module: Any, name: str) -> None:
    """What this function gives back to the pool, it gives back once more."""
    once = getattr(module, name)

    def both(*arguments: Any) -> None:
        context = arguments[-1]

        class Doubled:
            """The context, but for what goes back."""

            def __getattr__(self, found: str) -> Any:
                return getattr(context, found)

            def send(self, target: int, message: Any, delay: int) -> None:
                for _ in range(1 + isinstance(message, m.GiveBack)):
                    context.send(target, message, delay)

        once(*arguments[:-1], Doubled())

    patch.setattr(module, name, both)


def give_spare_pages_twice(_: World, patch: Patch) -> None:
    """guest_memfd settles a conversion, and what it had reserved goes back twice."""
    for module in (gmem_steps, gmem_store):
        twice(patch, module, "spare")


def give_split_pages_twice(_: World, patch: Patch) -> None:
    """So does what KVM has reserved for a split that comes to nothing."""
    twice(patch, kvm_memory, "spare")


def give_a_holes_pages_twice(_: World, patch: Patch) -> None:
    """So does the metadata of the folios in a hole."""
    twice(patch, gmem_punch, "give_metadata_back")


def give_the_cache_away(_: World, patch: Patch) -> None:
    """A fault's pages go back to the pool when it is over, and into the VM's cache as well."""
    release = kvm_memory.release

    def both(kvm: KvmMmu, access: int, context: Context) -> None:
        assert isinstance(kvm.cache, kvm_memory.PageCache)
        kvm_memory.give_back(kvm, kvm.cache.lent.get(access, 0), context)
        release(kvm, access, context)

    patch.setattr(kvm_memory, "release", both)


# --- pins and memory -----------------------------------------------------------------------------


def drop_pins_twice(world: World, _: Patch) -> None:
    """A holder that was made to let go drops its reference once more."""

    def drop(pins: Pins, message: m.DropPins, context: Context) -> None:
        for start, end in pins.held.values():
            context.observe(Pinned(pins.vm, start, end, False))

    world.replace(PINS, m.DropPins, drop)


def refuse_for_brief_references(_: World, patch: Patch) -> None:
    """PREPARE refuses for a reference that an LRU batch has, and does not drain it first."""

    def refuse(pins: Pins, where: Any, found: Any, _: bool, context: Context) -> None:
        pins.refuse(where, found, context)

    patch.setattr(Pins, "drain", refuse)


def never_say_quiet(world: World, _: Patch) -> None:
    """The last reference is gone, and guest_memfd, which waits for that, is not told."""
    world.drop(GMEM, m.Quiet)


def pin_what_is_frozen(world: World, _: Patch) -> None:
    """GUP does not mind that a count is frozen."""

    def take(pins: Pins, message: m.TakePin, context: Context) -> None:
        pins.take(message.start, message.end, message.hold, context)

    world.replace(PINS, m.TakePin, take)


def keep_counts_frozen(world: World, _: Patch) -> None:
    """ABORT forgets that PREPARE has frozen counts."""

    world.replace(PINS, m.Abort, aborted_and_frozen)


def aborted_and_frozen(_: Pins, message: m.Abort, context: Context) -> None:
    context.send(message.gmem, m.Aborted(message.op, Consumer.PINS), context.link)


def keep_counts_frozen_in_silence(world: World, _: Patch) -> None:
    """ABORT forgets that PREPARE has frozen counts, and tells that they are thawed: it shows when a page is wanted."""

    def told(pins: Pins, message: m.Abort, context: Context) -> None:
        context.observe(CountsThawed(pins.vm, message.op))
        aborted_and_frozen(pins, message, context)

    world.replace(PINS, m.Abort, told)


def thaw_counts_in_commit(world: World, _: Patch) -> None:
    """Pins thaw counts when they are told to COMMIT, before guest_memfd has restructured."""

    def commit(pins: Pins, message: m.Commit, context: Context) -> None:
        pins.frozen.pop(message.op, None)
        context.send(message.gmem, m.Committed(message.op, Consumer.PINS), context.link)

    world.replace(PINS, m.Commit, commit)


def forget_who_waits(world: World, _: Patch) -> None:
    """guest_memfd does not tell that a conversion is over."""
    world.drop(GMEM, m.AwaitThaw)


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

    world.replace(ALLOCATOR, m.Reserve, reserve, vm=-1)


# --- VMM -----------------------------------------------------------------------------------------


def drop_the_mm_at_once(world: World, _: Patch) -> None:
    """SIGKILL takes the mm from under the thread that is in the ioctl."""
    on_kill = vmm_kill.on_kill

    def killed(vmm: Vmm, message: m.Kill, context: Context) -> None:
        on_kill(vmm, message, context)
        if vmm.life == vmm_kill.Life.KILLED:
            vmm_kill.leave(vmm, context)

    world.replace(VMM, m.Kill, killed)


def close_before_the_mm(_: World, patch: Patch) -> None:
    """The files of a killed VMM go, and its mm stays."""
    patch.setattr(vmm_kill, "leave", lambda vmm, context: vmm.close(context))


def never_give_up(world: World, _: Patch) -> None:
    """The VMM does not count its tries."""

    def endless(vmm: Vmm) -> None:
        vmm.policy = msgspec.structs.replace(vmm.policy, tries=-1)

    world.alter(VMM, endless)


def discard_what_devices_map(_: World, patch: Patch) -> None:
    """With two backends the VMM gives the old side's pages up, and no listener is told."""
    patch.setattr(vmm_listeners, "discards", lambda *_: [])


def forget_the_devices(_: World, patch: Patch) -> None:
    """The bitmap follows a conversion to shared, and no listener is told."""
    patch.setattr(vmm_listeners, "populates", lambda *_: [])


def take_retry_for_an_error(world: World, _: Patch) -> None:
    """The guest gives a MapGPA up that an interrupt has ended between two pieces."""

    def hasty(guest: Guest | OtherVm) -> None:
        if isinstance(guest, Guest):
            guest.retries = -1

    world.alter(GUEST, hasty)


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
        type(host).HANDLERS[m.Prepare](host, message, context)

    world.replace(HOST_MAP, m.Prepare, prepare)


def forget_the_saved_ptes(world: World, _: Patch) -> None:
    """ABORT drops the list of what PREPARE has cleared."""

    def abort(host: HostMap, message: m.Abort, context: Context) -> None:
        told_at = host.saved.get(message.op, Cleared()).told_at
        host.saved[message.op] = Cleared((), told_at)
        type(host).HANDLERS[m.Abort](host, message, context)

    world.replace(HOST_MAP, m.Abort, abort)


def forget_the_saved_ioptes(_: World, patch: Patch) -> None:
    """The same in the IOMMU driver."""
    patch.setattr(Iommu, "map_again", lambda *_: 1)


def host_may_fault_anywhere(world: World, _: Patch) -> None:
    """The host's page faults are never answered with SIGBUS."""

    def fault(_: Gmem, message: m.HostFault, context: Context) -> None:
        context.send(message.reply_to, m.HostPage(message.ticket, True), context.link)

    world.replace(GMEM, m.HostFault, fault)
    world.drop(GMEM, m.HostFaulted)


def callbacks_fail_unasked(world: World, _: Patch) -> None:
    """KVM's mmu_notifier callback returns ENOMEM, though nobody said that it may fail."""

    def range_start(kvm: KvmMmu, message: m.RangeStart, context: Context) -> None:
        no = m.RangeStarted(message.number, Reason.NO_MEMORY)
        context.send(kvm.vm | HOST_MAP, no, context.link)

    world.replace(KVM, m.RangeStart, range_start)
