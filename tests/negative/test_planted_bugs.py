"""Every check finds the bug it is there for, and nothing in the same run without that bug.

A check that cannot fail is a defect. The anomalies that two-phase admits need no bug; their runs show
what leads to them.
"""

from collections.abc import Callable
from typing import NamedTuple

import pytest

from actors import messages as m
from actors.address import GMEM, GUEST, HOST_MAP, IOMMU, PINS, VMM, vm_address
from actors.contract import Consumer, Reason
from actors.gmem.folios import SPLITS
from actors.notifier_sites import MM_CHAINS, OOM_REAPER
from actors.observations import (
    Answered,
    ConsumerReplied,
    Decided,
    Dma,
    EpochDrained,
    FolioOrder,
    HugeLost,
    InvalidationBegin,
    InvalidationEnd,
    ReEntered,
    ShareStored,
    VcpusKept,
    VmBugged,
)
from tests.helpers import PRIVATE, SHARED, World, plan_of
from tests.negative import bugs, fleet_cases, little_cases, move_cases
from tests.transcripts.causes import preempted
from workloads.checkers import ANOMALIES, INVARIANTS
from workloads.checkers.admitted import admits
from workloads.outcome.settings import of_scenario

FOREVER = 10**15  # ns
REMAP = MM_CHAINS[2].number  # N3
START, END = 0x10, 0x20  # cuts one leaf of 2 MiB
EDGES = (0x1F0, 0x410)  # cuts two

Run = Callable[[World], object]


# --- what happens --------------------------------------------------------------------------------


def to_shared(world: World) -> None:
    """One conversion to shared."""
    world.request(START, END, SHARED)
    world.run()


def to_shared_and_back(world: World) -> None:
    """There, used by everybody, and back."""
    world.ask(START, END, SHARED, use=True)
    world.run()
    world.convert(START, END, PRIVATE)


def to_private_behind_a_long_queue(world: World) -> None:
    """The invalidation waits for others, for less than its driver would."""
    to_shared(world)
    world.request(START, END, PRIVATE)
    world.run_until(lambda: len(world.of(Decided)) == 2)
    world.iommu().free_at = world.host.now + world.iommu().timeout // 2
    world.run()


def whole_leaf_there_and_back(world: World) -> None:
    """A huge folio is split and merged again."""
    for to in (SHARED, PRIVATE):
        world.convert(0, 0x200, to)


def memory_fails(world: World) -> None:
    """A frame goes bad, and the guest touches its page."""
    world.post(GMEM, m.MemoryFailure(START))
    world.run()
    world.touch(START, END, PRIVATE)
    world.run()


def whole_leaf_by_halves(world: World) -> None:
    """Leaves of 4 KiB go one half after the other, until their region has none."""
    for start in (0, 0x100):
        world.convert(start, start + 0x100, SHARED)


def refused_to_shared(world: World) -> None:
    """Another host operation holds the tree lock."""
    world.td().tree_exclusive_until = FOREVER
    world.convert(START, END, SHARED)


def interrupted(world: World) -> None:
    """DEMOTE is interrupted: the leaf is blocked by then."""
    world.inject("tdx.interrupted")
    world.convert(START, END, SHARED)


def refused_to_private(world: World) -> None:
    """A pin is on the range."""
    world.ask(START, END, SHARED, use=True)
    world.run()
    world.post(PINS, m.TakePin(START, END, FOREVER))
    world.request(START, END, PRIVATE)
    world.run(world.host.now + 10**8)


def refused_at_the_second_leaf(world: World) -> None:
    """The first boundary leaf is split when the second one refuses; then the guest uses its memory."""
    world.request(*EDGES, SHARED)
    world.run_until(lambda: bool(world.of(HugeLost)))
    world.inject("tdx.busy")
    world.run()
    world.heal()
    world.touch(EDGES[0], 0x200, PRIVATE)
    world.run()


def commit_bug(world: World) -> None:
    """PAGE.REMOVE fails in COMMIT."""
    world.inject("tdx.bug")
    world.convert(START, END, SHARED)


def teardown_bug(world: World) -> None:
    """A page of a closed file cannot be taken out of the S-EPT."""
    world.inject("tdx.teardown", nth=(2,))
    world.post(VMM, m.VmDead())
    world.run()


def pin_dropped(world: World) -> None:
    """A cooperative VMM makes a holder let go before its time."""
    world.post(PINS, m.TakePin(START, END, 1_000_000))
    world.post(PINS, m.DropPins(START, END), delay=1_000)
    world.run()


def pin_lets_go(world: World) -> None:
    """A pin is over before the conversion begins."""
    to_shared(world)
    world.post(PINS, m.TakePin(START, END, 1_000))
    world.run()
    world.convert(START, END, PRIVATE)


def pin_of_private_memory_lets_go(world: World) -> None:
    """The same on private pages, where somebody is astray."""
    world.post(PINS, m.TakePin(START, END, 1_000))
    world.run()
    world.convert(START, END, SHARED)


def pin_comes_between_ready_and_decision(world: World) -> None:
    """Somebody wants a page whose references have been looked at, while KVM splits."""
    world.request(START, END, SHARED)
    world.run_until(lambda: Consumer.PINS in {fact.consumer for fact in world.of(ConsumerReplied)})
    world.post(PINS, m.TakePin(START, END, FOREVER))
    world.run(world.host.now + 10**8)


def again_and_again(world: World) -> None:
    """There, used by everybody, and back; three times."""
    for _ in range(3):
        to_shared_and_back(world)


def pinned_between_two_entries(world: World) -> None:
    """Devices map two ranges; a conversion of both, and of what is between them, meets a pin."""
    for start, end in ((START, START + 4), (END - 4, END)):
        world.ask(start, end, SHARED, use=True)
        world.run()
    world.post(PINS, m.TakePin(START, START + 1, FOREVER))
    world.request(START, END, PRIVATE)
    world.run(world.host.now + 10**8)


def accepted_while_a_leaf_is_tried_again(world: World) -> None:
    """A vCPU accepts memory elsewhere while the boundary leaf is blocked for the second time."""
    world.inject("tdx.busy", nth=(1,))
    world.request(START, END, SHARED)
    world.run_until(lambda: bool(world.of(VcpusKept)))
    world.run_until(lambda: bool(world.of(EpochDrained)))
    world.touch(0x200, 0x400, PRIVATE)
    world.run()


def third_page_has_a_bug(world: World) -> None:
    """PAGE.REMOVE fails for one page of many."""
    world.inject("tdx.bug", nth=(3,))
    world.convert(START, END, SHARED)


def iotlb_hangs(world: World) -> None:
    """The invalidation after the decision never completes."""
    to_shared(world)
    world.inject("iommu.timeout")
    world.convert(START, END, PRIVATE)


def small_folios_are_punched(world: World) -> None:
    """A hole in a block whose folio has stayed split, with its metadata."""
    file, books = world.gmem(), world.inspector.books(world.gmem().address)
    file.folios.set(0x200, 0x400, 0)
    file.metadata = SPLITS[9, 0].pages
    books.pool.had += file.metadata
    world.post(GUEST, m.GiveUp(1 << 20, 0x200, 0x400))
    world.run()


def accept_cannot_split(world: World) -> None:
    """The guest accepts by 4 KiB what is mapped by 2 MiB, and somebody holds the tree lock."""
    world.td().tree_exclusive_until = FOREVER
    world.touch(0, 0x200, PRIVATE)
    world.run()


def accepted_and_vm_ends(world: World) -> None:
    """Faults take pages from their VM's cache, which goes back with the VM."""
    world.touch(0, 0x200, PRIVATE)
    world.run()
    vm_ends(world)


def pin_comes_before_the_store(world: World) -> None:
    """The same once pins have been told to COMMIT a conversion that merges the folio."""
    world.ask(0, 0x200, SHARED, use=True)
    world.run()
    world.request(0, 0x200, PRIVATE)
    world.run_until(lambda: len(world.of(Decided)) == 2 and not world.pins().frozen)
    world.post(PINS, m.TakePin(START, END, 1_000_000))
    world.run()


def refused_and_pinned_later(world: World) -> None:
    """A conversion is refused by KVM, and then somebody wants a page of its range."""
    refused_to_shared(world)
    world.post(PINS, m.TakePin(START, END, 1_000))
    world.run()


def pinned_in_the_middle(world: World) -> None:
    """A pin is on one page of the range."""
    to_shared(world)
    world.post(PINS, m.TakePin(START + 2, START + 3, FOREVER))
    world.request(START, END, PRIVATE)
    world.run(world.host.now + 10**8)


def stray_pin_and_a_lock_taken(world: World) -> None:
    """KVM has nothing to split and is ready; somebody astray has a page; then another operation takes the tree lock."""
    world.post(PINS, m.TakePin(0, 1, FOREVER))
    world.request(0, 0x200, SHARED)
    world.run_until(lambda: bool(world.of(Decided)))
    world.td().tree_exclusive_until = FOREVER
    world.run(world.host.now + 10**8)


def pinned_beside(world: World) -> None:
    """Some pages of the range are shared already, and a device holds them."""
    world.convert(START, START + 4, SHARED)
    world.post(PINS, m.TakePin(START, START + 4, 1_000_000))
    to_shared(world)


def fault_beside_a_conversion(world: World) -> None:
    """A fault on a page that is not converted, under the same 2 MiB."""
    world.touch(0, END, PRIVATE)
    world.run()
    world.request(0, END, SHARED)
    world.run_until(lambda: bool(world.of(InvalidationBegin)))
    world.touch(END, END + 1, PRIVATE)
    world.run()


def fault_after_a_conversion(world: World) -> None:
    """A fault on a page under the 2 MiB that were frozen, once all is over."""
    to_shared(world)
    world.touch(END, END + 1, PRIVATE)
    world.run()


def accept_meets_busy(world: World) -> None:
    """Memory is mapped again, and its first AUG finds a lock held."""
    to_shared(world)
    world.inject("tdx.aug_busy")
    world.ask(START, END, PRIVATE)
    world.run_until(lambda: bool(world.of(ReEntered)))
    world.heal()
    world.run()


def out_of_memory(world: World) -> None:
    """The host's pool is empty."""
    world.allocator().free = 0
    world.request(START, END, SHARED)
    world.run()


def vm_ends(world: World) -> None:
    """The VMM stops the VM."""
    world.post(VMM, m.VmDead())
    world.run()


def vm_ends_on_the_way_to_shared(world: World) -> None:
    """The VMM stops the VM between the decision and the end of a conversion, before its file is closed."""
    world.request(START, END, SHARED)
    world.run_until(lambda: bool(world.of(Decided)))
    vm_ends(world)


def vm_ends_on_the_way_to_private(world: World) -> None:
    """The same the other way."""
    world.ask(START, END, SHARED, use=True)
    world.run()
    world.request(START, END, PRIVATE)
    world.run_until(lambda: len(world.of(Decided)) == 2)
    vm_ends(world)


def fault_races_conversion(world: World) -> None:
    """A private fault looks its page up just before a conversion to shared freezes the range."""
    world.request(START, END, SHARED)
    world.run_until(lambda: bool(world.gmem().conversions))
    world.touch(START, END, PRIVATE)
    world.run()


def second_vm_takes_memory_back(world: World) -> None:
    """VM 1 converts a page to shared and back, so that it is mapped anew."""
    for to in (SHARED, PRIVATE):
        world.ask(START, END, to, vm=1)
        world.run()


def backend_touches_private(world: World) -> None:
    """A device backend reads memory that is private."""
    world.post(HOST_MAP, m.HostTouch(START, END))
    world.run()


def driver_cleans_up_its_mmap(world: World) -> None:
    """remap_pfn_range failed half way over memory that the guest shares."""
    to_shared(world)
    world.post(HOST_MAP, m.NotifierCall(REMAP, START, END))
    world.run()


def oom_reaper_comes(world: World) -> None:
    """The VMM is reaped while it lives."""
    to_shared(world)
    world.post(HOST_MAP, m.NotifierCall(OOM_REAPER.number, START, END))
    world.run()


def to_shared_and_accepted(world: World) -> None:
    """There and back, and the guest has the range mapped anew."""
    for to in (SHARED, PRIVATE):
        world.ask(START, END, to)
        world.run()


def small_folios_are_touched(world: World) -> None:
    """The guest accepts 2 MiB that an undo has left in folios of 4 KiB."""
    file = world.gmem()
    file.folios.set(0, 0x200, 0)
    world.host.cells[world.address(GMEM)].observe(FolioOrder(file.address, 0, 0x200, 0))
    world.touch(0, 0x200, PRIVATE)
    world.run()


def busy_once(world: World) -> None:
    """Somebody has the tree lock when the first boundary leaf is blocked, and not when it is tried again."""
    world.inject("tdx.busy", nth=(1,))
    world.convert(START, END, SHARED)


def demote_busy_twice(world: World) -> None:
    """Somebody has the table page of the boundary leaf, and has it still at the retry: the leaf is blocked by then."""
    world.inject("tdx.demote_busy")
    world.convert(START, END, SHARED)


def remove_busy_once(world: World) -> None:
    """The same with an entry that is to be removed."""
    world.inject("tdx.remove_busy", nth=(1,))
    world.convert(START, END, SHARED)


def killed_before_it_begins(world: World) -> None:
    """The VMM is killed while its ioctl is on the way to guest_memfd."""
    world.killable()
    world.request(START, END, SHARED)
    world.post(VMM, m.Kill(), delay=10)
    world.run()


def killed_while_it_splits(world: World) -> None:
    """The VMM is killed while KVM prepares."""
    world.killable()
    world.request(START, END, SHARED)
    world.run_until(lambda: bool(world.kvm().walks))
    world.post(VMM, m.Kill())
    world.run()


def hole_is_punched_and_filled(world: World) -> None:
    """The guest gives a block up and touches it later."""
    world.post(GUEST, m.GiveUp(1 << 20, 0x200, 0x400))
    world.run()
    world.touch(0x200, 0x400, PRIVATE)
    world.run()


def interrupted_and_again(world: World) -> None:
    """The same, and then a conversion of the whole leaf."""
    interrupted(world)
    world.heal()
    world.convert(0, 0x200, SHARED)


def refused_in_the_middle(world: World) -> None:
    """A pin is on the second of two huge pages."""
    world.convert(*EDGES, SHARED)
    world.post(PINS, m.TakePin(0x300, 0x301, 10**6))
    world.convert(*EDGES, PRIVATE)


def refused_by_a_queue(world: World) -> None:
    """The invalidation queue is stuck; of the range only the end is shared."""
    world.convert(0x300, EDGES[1], SHARED)
    world.iommu().free_at = FOREVER
    world.convert(*EDGES, PRIVATE)


def asked_for_what_stays(world: World) -> None:
    """The VM lives on with a page that could not be unmapped, and its range is to become private again."""
    commit_bug(world)
    world.heal()
    world.convert(START, END, PRIVATE)


def dma(world: World) -> None:
    """A device uses the range, just now."""
    access = m.DmaAccess(vm_address(0, 0), START, END, 0, True)
    world.post(IOMMU, access, vm=-1)


def refused_and_used_by_a_device(world: World) -> None:
    """A pin is on the range, which a device goes on to use."""
    refused_to_private(world)
    dma(world)
    world.run(world.host.now + 10**8)


def back_and_used_by_a_device(world: World) -> None:
    """The range is private again, and a device does not know."""
    to_shared(world)
    world.convert(START, END, PRIVATE)
    dma(world)
    world.run()


def pinned_for_ever(world: World) -> None:
    """A pin that nobody lets go of, for as long as a VMM may try 1000 times."""
    to_shared(world)
    world.post(PINS, m.TakePin(START, END, FOREVER))
    world.request(START, END, PRIVATE)
    world.run(world.host.now + 18_000_000)


def brief_reference_goes(world: World) -> None:
    """An LRU batch has one more reference on a page, which a drain takes away."""
    to_shared(world)
    world.inject("pins.transient")
    world.convert(START, END, PRIVATE)


def touched_and_converted(world: World) -> None:
    """The guest uses its memory, and part of it becomes shared."""
    world.touch(0, 0x200, PRIVATE)
    to_shared(world)


def interrupted_between_two_pieces(world: World) -> None:
    """MapGPA of 8 MiB, and an interrupt is pending after the second piece."""
    world.inject("kvm.interrupt", nth=(2,))
    world.ask(0, 0x800, SHARED)
    world.run()


def two_huge_pages_and_a_small_pool(world: World) -> None:
    """The pool has what two huge pages take one after the other, and not at once."""
    world.allocator().free = 17
    world.convert(0, 0x400, SHARED)


def other_vm_uses_it(world: World) -> None:
    """Another VM on the inode uses what was shared, and it goes private."""
    to_shared(world)
    world.use_elsewhere(START, END)
    world.run()
    world.convert(START, END, PRIVATE)


def other_vm_faults_meanwhile(world: World) -> None:
    """The other VM has looked its page up when the conversion begins, and maps it late."""
    to_shared(world)
    preempted(50_000, file=1)(world)
    world.use_elsewhere(START, END)
    world.request(START, END, PRIVATE, delay=10_000)
    world.run()


def other_vm_maps_and_vm_ends(world: World) -> None:
    """The other VM has the range mapped when the owner's VMM ends."""
    to_shared(world)
    world.use_elsewhere(START, END)
    world.run()
    vm_ends(world)


def other_vm_uses_the_page_before(world: World) -> None:
    """It uses shared pages, and then those of the next huge page become shared."""
    to_shared(world)
    world.use_elsewhere(START, END)
    world.run()
    world.convert(0x200, 0x400, SHARED)


TWO_FILES = ("vm.files_per_inode=2",)


class Case(NamedTuple):
    """`bug` in `run` is found by the checks `ids`."""

    ids: str
    bug: Callable[[World, pytest.MonkeyPatch], None]
    run: Run
    overrides: tuple[str, ...] = ()


TWO_VMS = ("fleet.vms_per_host=2",)
PREFAULTED = ("vm.start=prefaulted-2m",)
FRESH = "vm.start=unaccepted"
SMALL_ACCEPTS = "vm.accept_level=4k"
UNMAPPED_EARLY = ("protocol.iommu_prepare=unmap-early",)
MARKED_BY_REFERENCE = (
    "protocol.name=two-phase-refcount",
    "protocol.post_commit_check=fail-efault",
    "vm.page_order=0",
    "vm.start=mapped-4k",
)
SMALL_IN_PLACE = ("protocol.name=in-place", "vm.start=unaccepted", "vm.page_order=0")
IN_PLACE_HUGE = ("protocol.name=in-place-huge",)
TWO_BACKENDS = ("vm.iommu=pin", "vm.backend=two-backends")
UNTRACED = ("protocol.name=two-phase-untraced",)
UNCAUSED = [
    Case("I12 AN28", bugs.give_up_at_once, to_shared_and_back),
    Case("I12 I16 AN24 AN28", bugs.try_once, remove_busy_once),
    Case("I16 AN24", bugs.try_once, busy_once, ("protocol.prepare_busy=bug",)),
    Case("I16", bugs.try_once, busy_once),
    Case("I21 AN18", bugs.forget_the_devices, to_shared),
]
CASES = [
    *UNCAUSED,
    Case("I1 I9", bugs.unmap_nothing, to_shared_and_back),
    Case("I1", bugs.host_may_fault_anywhere, backend_touches_private),
    Case("I2", bugs.zap_nothing, to_shared),
    Case("I1", bugs.zap_nothing, vm_ends_on_the_way_to_private),
    Case("I2", bugs.zap_nothing, vm_ends_on_the_way_to_shared),
    Case("I5 AN5 AN10", bugs.lose_a_folio, vm_ends_on_the_way_to_shared),
    Case("I6", bugs.restructure_nothing, vm_ends_on_the_way_to_shared),
    Case("I7 I2 AN21", bugs.split_nothing, vm_ends_on_the_way_to_shared),
    Case("I2 I3 I20", bugs.keep_the_owner, to_shared_and_accepted),
    Case("I3", bugs.two_files_of_one_memory, second_vm_takes_memory_back, TWO_VMS),
    Case("I3", bugs.two_files_and_a_careless_module, second_vm_takes_memory_back, TWO_VMS),
    Case("I3", bugs.one_frame_at_two_places, to_shared_and_accepted),
    Case("I3", bugs.one_frame_and_a_careless_module, to_shared_and_accepted),
    Case("I4 AN11", bugs.free_before_teardown, vm_ends),
    Case("I4 AN11", bugs.say_nothing_of_what_stays, teardown_bug),
    Case("I4 AN11", bugs.take_nothing_out, vm_ends),
    Case("I4 AN11", bugs.keep_the_owner, hole_is_punched_and_filled),
    Case("I4", bugs.punch_before_the_zap, hole_is_punched_and_filled),
    Case("I5 AN5", bugs.lose_a_folio, to_shared),
    Case("I6", bugs.restructure_nothing, to_shared),
    Case("I7 I2 AN21", bugs.split_nothing, to_shared),
    Case("I7", bugs.map_it_huge, small_folios_are_touched, ("vm.start=unaccepted",)),
    Case("I8 AN6", bugs.keep_the_stash, whole_leaf_there_and_back),
    Case("I9", bugs.drop_pins_twice, pin_dropped),
    Case("I9", bugs.overlook_pins, refused_to_private),
    Case("I9", bugs.pin_what_is_frozen, pin_comes_between_ready_and_decision),
    Case("I9", bugs.keep_counts_frozen, refused_to_shared),
    Case("I9 L5", bugs.keep_counts_frozen_in_silence, refused_and_pinned_later),
    Case("I9", bugs.thaw_counts_in_commit, pin_comes_before_the_store),
    Case("L5", bugs.forget_who_waits, pin_comes_before_the_store),
    Case(
        "I9",
        bugs.forget_to_unpin,
        pin_of_private_memory_lets_go,
        ("protocol.name=undo-split-first",),
    ),
    Case(
        "I5",
        bugs.leave_poison_in_the_filemap,
        third_page_has_a_bug,
        ("protocol.on_poison=proceed-rest",),
    ),
    Case("I19", bugs.mark_one_page, commit_bug, ("protocol.mark=folio-flag",)),
    Case("I19", bugs.mark_the_page_alone, commit_bug, ("protocol.mark=folio-flag",)),
    Case("I19", bugs.mark_one_page, iotlb_hangs),
    Case("I19", bugs.refer_to_one_page, third_page_has_a_bug, MARKED_BY_REFERENCE),
    Case("I16", bugs.let_in_after_the_kick, busy_once),
    Case("I16", bugs.let_in_after_the_kick, remove_busy_once),
    Case("I16", bugs.kick_and_keep_nobody, accepted_while_a_leaf_is_tried_again, PREFAULTED),
    Case("I16", bugs.write_nothing_back, to_shared),
    Case("I16", bugs.write_nothing_back, hole_is_punched_and_filled),
    Case("I16", bugs.let_in_before_unblock, demote_busy_twice),
    Case("I16", bugs.let_in_before_the_leaf_is_unblocked, demote_busy_twice),
    Case("I16", bugs.wait_for_no_iotlb, to_shared_and_back),
    Case("L4", bugs.restore_one_entry, pinned_between_two_entries, UNMAPPED_EARLY),
    Case("I20", bugs.keep_the_descriptor, again_and_again),
    Case("I20", bugs.give_spare_pages_twice, refused_to_shared),
    Case("I20", bugs.give_split_pages_twice, interrupted),
    Case("I20", bugs.give_split_pages_twice, accept_cannot_split, (*PREFAULTED, SMALL_ACCEPTS)),
    Case("I20", bugs.give_a_holes_pages_twice, small_folios_are_punched),
    Case("I20", bugs.give_the_cache_away, accepted_and_vm_ends, ("fleet.pamt=dynamic", FRESH)),
    Case("I10 AN4", bugs.store_in_prepare, refused_to_shared),
    Case("I10 AN7", bugs.restructure_in_prepare, refused_to_shared),
    Case("I11 I13 AN3 L4", bugs.leave_blocked, interrupted),
    Case("I11 I13 AN3 AN1", bugs.split_by_zap, refused_at_the_second_leaf),
    Case("I10", bugs.tell_of_the_start, refused_at_the_second_leaf),
    Case("I12 L3", bugs.refuse_in_commit, commit_bug),
    Case("I12", bugs.leave_blocked, interrupted_and_again),
    Case("I13", bugs.split_by_zap, to_shared),
    Case("I14", bugs.reply_before_the_thaw, to_shared),
    Case("I14", bugs.thaw_nothing, fault_after_a_conversion, ("vm.start=unaccepted",)),
    Case("I14", bugs.lose_the_end_of_an_invalidation, driver_cleans_up_its_mmap),
    Case("I14", bugs.freeze_the_range_alone, to_shared),
    Case("I15 AN26", bugs.attribute_under_mmu_lock, to_shared),
    Case("I15", bugs.drop_ilock_before_teardown, vm_ends),
    Case("I15", bugs.thaw_without_the_lock, to_shared),
    Case("I15 AN26", bugs.thaw_in_the_walk, to_shared),
    Case("I16", bugs.drop_the_kick, to_shared),
    Case("I16 I12 AN15", bugs.forget_to_track, to_shared),
    Case("I16", bugs.split_without_a_kick, to_shared),
    Case("I16 I12", bugs.fail_by_itself, to_shared),
    Case("I16", bugs.refuse_to_block, to_shared),
    Case("I16", bugs.wait_for_no_iotlb, to_private_behind_a_long_queue),
    Case("I1", bugs.forget_the_iotlb, to_shared_and_back),
    Case("I17", bugs.thaw_with_the_zap, to_shared),
    Case("I17", bugs.thaw_with_the_zap, to_shared_and_back),
    Case("I16", bugs.forget_to_flush, to_shared_and_back),
    Case("I17 AN20", bugs.no_sequence_check, fault_races_conversion, ("vm.start=unaccepted",)),
    Case("I18 AN13", bugs.callbacks_fail_unasked, driver_cleans_up_its_mmap),
    Case("AN14", bugs.callbacks_fail_unasked, oom_reaper_comes),
    Case("I19", bugs.free_poisoned_pages, commit_bug),
    Case("I19", bugs.forget_what_failed, memory_fails),
    Case("I20", bugs.keep_what_prepare_reserved, interrupted),
    Case("I20", bugs.keep_the_tree_nodes, to_shared),
    Case("I20", bugs.keep_the_tree_nodes, refused_to_shared),
    Case("I20", bugs.own_nothing, to_shared_and_accepted),
    Case("I20", bugs.forget_to_count, to_shared, ("fleet.pamt=dynamic",)),
    Case("I20", bugs.count_a_split_as_one, refused_at_the_second_leaf, ("fleet.pamt=dynamic",)),
    Case("I20", bugs.keep_the_pair, whole_leaf_by_halves, ("fleet.pamt=dynamic",)),
    Case("I22 AN19", bugs.store_nothing, to_shared),
    Case("I23", bugs.allocate_in_abort, refused_to_shared),
    Case("I23 L3", bugs.block_again_in_abort, stray_pin_and_a_lock_taken),
    Case("I26", bugs.drop_the_mm_at_once, killed_before_it_begins),
    Case("I26", bugs.drop_the_mm_at_once, killed_while_it_splits),
    Case("I26", bugs.close_before_the_mm, killed_while_it_splits),
    Case("L1 L2", bugs.lose_an_acknowledgement, to_shared),
    Case("L2", bugs.let_nobody_in, busy_once),
    Case("L3", bugs.forget_the_iommu_in_abort, refused_to_shared),
    Case("L3", bugs.commit_twice, to_shared),
    Case("L3", bugs.commit_after_abort, refused_to_shared),
    Case(
        "L4 AN8",
        bugs.forget_the_saved_ptes,
        refused_to_private,
        ("protocol.host_unmap=early-saved",),
    ),
    Case(
        "L4",
        bugs.forget_the_saved_ioptes,
        refused_to_private,
        ("protocol.iommu_prepare=unmap-early",),
    ),
    Case("L5", bugs.forget_the_parked, fault_beside_a_conversion, ("vm.start=unaccepted",)),
    Case("L6", bugs.look_closer_for_ever, accept_meets_busy),
    Case("L7", bugs.forget_to_unpin, pin_lets_go),
    Case("L7", bugs.ask_about_all_of_it, pinned_beside),
    Case("L7", bugs.answer_with_the_start, refused_at_the_second_leaf),
    Case("L7", bugs.answer_with_the_start, refused_in_the_middle),
    Case("L7", bugs.refuse_at_the_start, refused_at_the_second_leaf),
    Case("L7", bugs.refuse_at_the_start, refused_in_the_middle),
    Case("L7", bugs.refuse_at_the_start, refused_by_a_queue),
    Case("L7", bugs.tell_of_the_start, pinned_in_the_middle),
    Case("L8", bugs.kill_for_memory, out_of_memory),
    Case("AN8", bugs.unmap_in_prepare, refused_to_private),
    Case("I1 AN20", bugs.ask_the_owner_alone, other_vm_uses_it, TWO_FILES),
    Case("I17 AN20", bugs.freeze_the_owner_alone, other_vm_faults_meanwhile, TWO_FILES),
    Case("I4", bugs.freeze_the_owner_alone, other_vm_maps_and_vm_ends, TWO_FILES),
    Case(
        "I2 I7 AN20 AN21",
        bugs.let_others_map_private_memory,
        other_vm_uses_the_page_before,
        TWO_FILES,
    ),
    Case("AN3 I11 I13", bugs.take_abort_out, interrupted),
    Case("I2 AN20", bugs.leave_the_rest, third_page_has_a_bug, UNTRACED),
    Case("I12", bugs.forget_what_is_left, asked_for_what_stays, (*UNTRACED, "protocol.bug_on=no")),
    Case("I10", bugs.tell_of_the_end, refused_in_the_middle),
    Case("AN2 L4", bugs.forget_the_saved_ioptes, refused_and_used_by_a_device, UNMAPPED_EARLY),
    Case("AN9 L1 L2", bugs.never_say_quiet, to_shared, ("protocol.name=two-phase-refcount",)),
    Case("AN12", bugs.never_give_up, pinned_for_ever),
    Case("AN16", bugs.take_retry_for_an_error, interrupted_between_two_pieces),
    Case("AN17 I7", bugs.map_it_huge, touched_and_converted, SMALL_IN_PLACE),
    Case("AN22 I20", bugs.keep_the_tree_nodes, two_huge_pages_and_a_small_pool, IN_PLACE_HUGE),
    Case("AN23", bugs.thaw_late, fault_beside_a_conversion, (FRESH,)),
    Case("AN25", bugs.refuse_for_brief_references, brief_reference_goes),
    Case("AN27 I21", bugs.discard_what_devices_map, back_and_used_by_a_device, TWO_BACKENDS),
    *(Case(*case) for case in fleet_cases.CASES),
]


RUNS = list({(case.run, case.overrides): case for case in CASES}.values())


def played(case: Case, patch: pytest.MonkeyPatch | None) -> set[str]:
    """What the checks find, with or without the bug."""
    world = World(*case.overrides)
    if patch:
        case.bug(world, patch)
    case.run(world)
    return world.found


def admitted(*overrides: str) -> set[str]:
    """What the protocol allows under the settings."""
    scenario = plan_of(overrides).scenario
    protocol, settings = scenario.protocol.name, of_scenario(scenario)
    return {check.id for check in INVARIANTS + ANOMALIES if admits(check.id, protocol, settings)}


def not_admitted(ids: str, *overrides: str) -> set[str]:
    """Those of the checks that hold under the settings."""
    return set(ids.split()) - admitted(*overrides)


def title(case: Case) -> str:
    return f"{case.ids}: {case.bug.__name__}"


@pytest.mark.parametrize("case", CASES, ids=title)
def test_a_planted_bug_is_found(case, monkeypatch):
    assert set(case.ids.split()) <= played(case, monkeypatch)


@pytest.mark.parametrize("case", RUNS, ids=lambda case: case.run.__name__)
def test_without_the_bug_the_same_run_is_clean(case):
    assert played(case, None) <= admitted(*case.overrides)


@pytest.mark.parametrize("case", UNCAUSED, ids=title)
def test_what_two_phase_admits_with_a_cause_breaks_an_invariant_without_one(case):
    """AN18, AN24 and AN28 are counts; the same without a cause is I21's, I16's and I12's, and these hold."""
    anomalies = {name for name in case.ids.split() if name.startswith("AN")}
    assert not_admitted(case.ids, *case.overrides) == set(case.ids.split()) - anomalies


@pytest.mark.parametrize("fails", [bugs.fail_by_itself, bugs.forget_to_track])
def test_what_no_fault_point_has_struck_is_not_injected(fails, monkeypatch):
    world = World()
    fails(world, monkeypatch)
    to_shared(world)
    assert [fact.injected for fact in world.of(VmBugged)] == [False]


@pytest.mark.parametrize("planted", [False, True])
def test_a_bug_in_commit_excuses_the_page_that_was_told_of_and_no_other(planted, monkeypatch):
    world = World("protocol.name=two-phase-untraced")
    if planted:
        bugs.leave_the_rest(world, monkeypatch)
    world.inject("tdx.bug", nth=(3,))
    to_shared(world)
    assert world.found == {"I4", "AN11"} | ({"I2", "AN20"} if planted else set())


def test_taking_abort_out_of_two_phase_makes_an3_appear(monkeypatch):
    """The undo of a failed DEMOTE is what keeps an accepted page mapped; without it the guest meets AN1's cause."""
    case = Case("AN3", bugs.take_abort_out, interrupted)
    assert {"AN3", "I11", "I13"} <= played(case, monkeypatch)


def test_with_its_abort_two_phase_has_no_an3():
    assert "AN3" not in played(Case("AN3", bugs.take_abort_out, interrupted), None)


def test_a_vm_that_lives_on_with_a_page_that_stays_is_refused_it(monkeypatch):
    """Where a bug is no KVM_BUG_ON and leaves no mark, KVM alone knows that the page cannot be unmapped."""
    found = []
    for forgets in (True, False):
        world = World("protocol.name=two-phase-untraced", "protocol.bug_on=no")
        if forgets:
            bugs.forget_what_is_left(world, monkeypatch)
        commit_bug(world)
        world.heal()
        assert world.convert(START, END, PRIVATE) is (Reason.NONE if forgets else Reason.BUG)
        found.append("I12" in world.found)
        monkeypatch.undo()
    assert found == [True, False]


# --- what protocols admit -----------------------------------------------------------------------


def pin_and_spin(world: World, cause: bool) -> None:
    """A VMM that never gives up meets a pin that nobody lets go of."""
    to_shared(world)
    if cause:
        world.post(PINS, m.TakePin(START, END, FOREVER))
    world.request(START, END, PRIVATE)
    world.run(world.host.now + 18_000_000)


def lock_taken_between_two_splits(world: World, cause: bool) -> None:
    """Another host operation takes the tree lock once the first boundary leaf is split."""
    world.request(*EDGES, SHARED)
    world.run_until(lambda: bool(world.of(HugeLost)))
    world.td().tree_exclusive_until = FOREVER * cause
    world.run()


def pool_empty_after_two_pieces(world: World, cause: bool) -> None:
    """MapGPA of 8 MiB, of which 4 MiB are converted when the host runs out of pages."""
    world.ask(0, 0x800, SHARED)
    world.run_until(lambda: len(world.of(Answered)) == 2)
    world.allocator().free *= not cause
    world.run()


def devices_cannot_map(world: World, cause: bool) -> None:
    """VFIO has no memory for the map that follows the conversion."""
    world.inject(*["iommu.map"] * cause)
    to_shared(world)


def lock_taken_after_the_decision(world: World, cause: bool) -> None:
    """Another host operation takes the tree lock between the decision and the first BLOCK."""
    world.request(0, 0x200, SHARED)
    world.run_until(lambda: bool(world.of(Decided)))
    world.td().tree_exclusive_until = FOREVER * cause
    world.run()


def lock_taken_before_the_zap(world: World, cause: bool) -> None:
    """Another host operation takes the tree lock while a conversion of whole leaves begins."""
    world.request(0, 0x200, SHARED)
    world.run_until(lambda: bool(world.of(InvalidationBegin)))
    world.td().tree_exclusive_until = FOREVER * cause
    world.run(world.host.now + 10**8)


def queue_hangs_after_the_decision(world: World, cause: bool) -> None:
    """A device holds the invalidation queue up between the decision and our wait descriptor."""
    to_shared(world)
    world.request(START, END, PRIVATE)
    world.run_until(lambda: len(world.of(Decided)) == 2)
    world.iommu().free_at = FOREVER * cause
    world.run()


def brief_reference(world: World, cause: bool) -> None:
    """An LRU batch has one more reference on a page, for longer than PREPARE waits."""
    to_shared(world)
    world.inject(*["pins.transient"] * cause)
    world.convert(START, END, PRIVATE)


def fault_installs_after_ready(world: World, cause: bool) -> None:
    """A fault has its page before the conversion takes ilock, and maps it once KVM has looked."""
    world.request(0, 0x200, SHARED)
    if cause:
        world.touch(START, END, PRIVATE)
    world.run()


def fault_installs_a_huge_leaf_after_ready(world: World, cause: bool) -> None:
    """The same with 2 MiB that the range cuts through; COMMIT cannot unmap a part of it."""
    world.request(START, END, SHARED)
    if cause:
        world.touch(0, 0x200, PRIVATE, delay=10_000)
    world.run()


def alias_touched_before_the_store(world: World, cause: bool) -> None:
    """RW1: a vCPU uses the private alias between INV_END and the store."""
    world.request(START, END, SHARED)
    world.run_until(lambda: bool(world.of(InvalidationEnd)))
    if cause:
        world.touch(START, END, PRIVATE)
    world.run()


def second_huge_page_fails(world: World, cause: bool) -> None:
    """Tree nodes run out once the first huge page is converted."""
    world.request(0, 0x400, SHARED)
    world.run_until(lambda: bool(world.of(ShareStored)))
    world.inject(*["gmem.tree"] * cause)
    world.run()


def fault_behind_a_long_conversion(world: World, cause: bool) -> None:
    """A vCPU wants a page beside the range, which is frozen with it for more than 10 ms."""
    world.touch(0, 0x1F0, PRIVATE)
    world.run()
    world.request(0, 0x1F0, SHARED)
    world.run_until(lambda: bool(world.of(InvalidationBegin)))
    if cause:
        world.touch(0x1F8, 0x200, PRIVATE)
    world.run()


def folio_lost_in_the_undo(world: World, cause: bool) -> None:
    """A folio cannot be added again after its split, nor can the huge one it was."""
    world.inject(*["gmem.readd", "gmem.undo_readd"] * cause)
    to_shared(world)


def somebody_is_astray(world: World, cause: bool) -> None:
    """A reference is on a private page when the counts are looked at."""
    world.inject(*["pins.private"] * cause)
    to_shared(world)


def bug_in_zap(world: World, cause: bool) -> None:
    """PAGE.REMOVE fails for one page."""
    world.inject(*["tdx.bug"] * cause, probability=0.2)
    world.request(START, END, SHARED)
    world.run(world.host.now + 3 * 10**9)


def unmapped_for_nothing(world: World, cause: bool) -> None:
    """With pins the VMM unmaps before it asks; a pin of somebody else's then refuses, and a device was quicker."""
    to_shared(world)
    if cause:
        world.post(PINS, m.TakePin(START, END, FOREVER))
    world.request(START, END, PRIVATE)
    world.run_until(lambda: not all(fact.mapped for fact in world.of(Dma)))
    dma(world)
    world.run(world.host.now + 10**8)


def discarded_under_a_device(world: World, cause: bool) -> None:
    """The invalidation of the VMM's unmap is given up, and the VMM discards the shared side all the same."""
    to_shared(world)
    world.inject(*["iommu.timeout"] * cause)
    world.convert(START, END, PRIVATE)
    dma(world)
    world.run()


C_REFCOUNT = "protocol.name=two-phase-refcount"
UNACCEPTED = "vm.start=unaccepted"
BRIEF = ("costs.override.transient_ref=1ms", "protocol.freeze_budget=100us")
SHOWN = [
    (
        "AN3 AN5 AN6 AN7 AN15 I5 I8 I10 I11 I13",
        folio_lost_in_the_undo,
        ("protocol.name=undo",),
    ),
    ("AN3 AN15 I11 I13", somebody_is_astray, ("protocol.name=undo-split-first",)),
    ("AN9 L1 L2", bug_in_zap, (C_REFCOUNT,)),
    (
        "AN3 AN10 AN15 I11 I13",
        bug_in_zap,
        (C_REFCOUNT, "protocol.post_commit_check=fail-efault"),
    ),
    ("I4 AN11", bug_in_zap, ("protocol.name=two-phase-untraced",)),
    ("AN17", fault_installs_after_ready, (UNACCEPTED, "protocol.freeze_at=commit")),
    ("AN17", fault_installs_a_huge_leaf_after_ready, (UNACCEPTED, "protocol.freeze_at=commit")),
    ("I17 AN20", alias_touched_before_the_store, ("protocol.name=in-place-huge",)),
    ("AN2", unmapped_for_nothing, ("vm.iommu=pin",)),
    ("AN18 AN27", discarded_under_a_device, ("vm.iommu=pin", "vm.backend=two-backends")),
    ("AN18 AN22 I21", second_huge_page_fails, ("protocol.name=in-place-huge",)),
    ("AN23", fault_behind_a_long_conversion, (UNACCEPTED,)),
    ("AN25", brief_reference, BRIEF),
    ("AN12", pin_and_spin, ("vmm.retry=spin",)),
    ("AN15", lock_taken_between_two_splits, ()),
    ("AN16", pool_empty_after_two_pieces, ()),
    ("AN18", devices_cannot_map, ()),
    ("AN10 AN24", lock_taken_before_the_zap, ("protocol.name=failable-notifier",)),  # and says so
    ("AN24 AN28 L1 L2", lock_taken_before_the_zap, ("protocol.name=undo",)),  # which discards it
    ("AN24 AN28", lock_taken_before_the_zap, ("protocol.name=in-place-huge",)),
    ("AN24 AN28", lock_taken_after_the_decision, ("protocol.name=two-phase-untraced",)),
    ("AN24 AN28", lock_taken_after_the_decision, ()),
    ("AN23 AN28", queue_hangs_after_the_decision, ()),
]


@pytest.mark.parametrize(("ids", "run", "overrides"), SHOWN)
def test_an_admitted_anomaly_is_shown_by_a_run_and_by_nothing_else_in_it(ids, run, overrides):
    world = World(*overrides)
    run(world, True)
    assert world.found == set(ids.split())


def test_a_prefix_ends_where_the_answer_says(monkeypatch):
    """One that claims more than is converted is no prefix, whatever the protocol may leave converted."""
    world = World("protocol.name=in-place-huge")
    bugs.tell_of_the_end(world, monkeypatch)
    second_huge_page_fails(world, True)
    assert "I10" in world.found


@pytest.mark.parametrize("option", ["host_unmap=early-saved", "iommu_prepare=unmap-early"])
def test_an_early_unmap_that_abort_does_not_undo_is_never_admitted(option):
    settings = of_scenario(World(f"protocol.{option}").plan.scenario)
    assert not admits("L4", "two-phase", settings)
    assert not admits("AN8", "two-phase", settings)


@pytest.mark.parametrize(("ids", "run", "overrides"), SHOWN)
def test_without_its_cause_it_does_not_appear(ids, run, overrides):
    world = World(*overrides)
    run(world, False)
    assert world.found == set()


# --- the table itself ----------------------------------------------------------------------------


@pytest.mark.parametrize("zap_first", ["no", "yes"])
def test_a_folio_that_is_split_before_the_zap_is_under_its_leaf(zap_first):
    world = World("protocol.name=in-place-huge", f"protocol.zap_first={zap_first}")
    to_shared(world)
    assert world.found == (set() if zap_first == "yes" else {"AN21"})


def test_every_check_has_a_bug_or_a_run_that_it_finds():
    tried = {
        name
        for ids in [
            *(c.ids for c in CASES),
            *(s[0] for s in SHOWN),
            *(c[0] for c in move_cases.CASES),
            *(c.ids for c in little_cases.CASES),
        ]
        for name in ids.split()
    }
    assert tried == {check.id for check in INVARIANTS + ANOMALIES}


@pytest.mark.parametrize(("ids", "run", "overrides"), SHOWN)
def test_what_a_protocol_is_shown_to_do_is_admitted(ids, run, overrides):
    assert set(ids.split()) <= admitted(*overrides)
