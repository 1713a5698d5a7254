"""The situations of the golden transcripts: what is arranged on a host before one request is written down.

Which of them befall a protocol, and what becomes of them there, is told in tests/transcripts/stories.
"""

from typing import NamedTuple

from actors import messages as m
from actors.contract import Consumer, Reason, Share
from actors.protocols.table import ALL
from tests.helpers import PRIVATE, SHARED, World
from tests.transcripts.causes import (
    Arrange,
    accepted_at,
    after,
    closed,
    detached,
    detached_meanwhile,
    dies_at,
    killed,
    no_memory_for,
    one_entry,
    pin,
    poison,
    pool,
    preempted,
    preempted_until,
    queue_full,
    queue_stuck,
    released,
    shared_before,
    silent,
    stays_mapped,
    stops,
    strike,
    touched,
    tree_locked,
    used_elsewhere,
    uses_again,
)

START, END = 0x10, 0x14  # four pages in the middle of a leaf of 2 MiB
FOLIO = (0, 0x200)  # the huge page around them
ACROSS = (0x1F0, 0x410)  # the end of one huge page, a whole one, the beginning of a third
TWO_FILES = ("vm.files_per_inode=2",)
PINNED = ("vm.td_pinned=true", "vm.start=mapped-4k", "vm.accept_level=4k")  # trusted IO
SECOND = 3 * 10**9  # ns; longer than guest_memfd is taken to wait


class Situation(NamedTuple):
    """`about` is the cause in words. Where the request is to become private, the range is shared and in use before."""

    about: str
    to: Share = SHARED
    arrange: Arrange = after()
    pages: tuple[int, int] = (START, END)
    overrides: tuple[str, ...] = ()


def world_of(protocol: str, situation: Situation) -> World:
    """One VM of 8 MiB, mapped by leaves of 2 MiB where the protocol knows them. The request is posted."""
    small = ("vm.page_order=0", "vm.start=mapped-4k") if protocol == "in-place" else ()
    chosen = (f"protocol.name={protocol}", *small, *situation.overrides)
    world = World(*chosen, each=1000)  # every unit of work takes 1 us, a link 0.2 us
    start, end = situation.pages
    if situation.to is PRIVATE:
        world.ask(start, end, SHARED, use=True)
        world.run()
        assert world.tasks == [(1, Reason.NONE)]
    situation.arrange(world)
    world.request(start, end, situation.to)
    return world


def option(**chosen: str) -> tuple[str, ...]:
    """Parameters of the protocol, as `--set` has them."""
    return tuple(f"protocol.{name}={value}" for name, value in chosen.items())


def back(start: int, end: int) -> Arrange:
    """These pages of a shared range become private again before."""

    def arrange(world: World) -> None:
        assert world.convert(start, end, PRIVATE) is Reason.NONE

    return arrange


# fmt: off
PLAIN: dict[str, Situation] = {
    # --- all goes well
    "to_shared": Situation("Four pages in the middle of a 2 MiB leaf become shared; nobody has anything against it."),
    "to_private": Situation("The four pages become private again; nobody has anything against it.", PRIVATE),
    "already_shared": Situation("The range is shared already.", arrange=shared_before((START, END))),
    "several_ranges": Situation(
        "A huge page in the middle of the range is shared already, so that two ranges are left to convert.",
        arrange=shared_before((0x200, 0x400)), pages=ACROSS),
    "several_ranges_to_private": Situation(
        "The same the other way round: a huge page in the middle is private already.",
        PRIVATE, back(0x200, 0x400), ACROSS),
    "folio_small_already": Situation(
        "The folio behind the range was split for another page before.", arrange=shared_before((0x40, 0x44))),
    "gigabyte_folio": Situation(
        "The four pages lie in a folio of 1 GiB.", overrides=("vm.memory=1GiB", "vm.page_order=18")),
    # --- not possible at all
    "file_closed": Situation("The last reference to the file is gone.", arrange=closed),
    "page_poisoned": Situation(
        "The second page is poisoned: an earlier conversion could not unmap it, or its memory has failed.",
        arrange=poison(0x11, 0x12)),
    # --- guest_memfd's own memory
    "pool_empty": Situation("The host's page pool is empty.", arrange=pool(0)),
    "pool_empty_to_private": Situation("The host's page pool is empty.", PRIVATE, pool(0)),
    "no_tree_nodes": Situation("No memory for the attribute tree's nodes.", arrange=strike(gmem__tree={})),
    "no_tree_nodes_to_private": Situation(
        "No memory for the attribute tree's nodes.", PRIVATE, strike(gmem__tree={})),
    "no_vmemmap": Situation("No memory for the vmemmap of a folio to split.", arrange=strike(gmem__vmemmap={})),
    "no_list_item": Situation(
        "No memory for the second item of the list of ranges to convert.",
        arrange=after(shared_before((0x200, 0x400)), strike(gmem__work={1: 1})), pages=ACROSS),
    # --- folios
    "folio_not_readded": Situation(
        "A folio has been taken out of the filemap to be split; its parts cannot be added.",
        arrange=strike(gmem__readd={})),
    "folio_not_readded_to_private": Situation(
        "The parts of a huge folio have been taken out of the filemap to be merged; the whole cannot be added.",
        PRIVATE, strike(gmem__readd={})),
    "second_folio_not_readded": Situation(
        "Of three huge folios the first one is split; the parts of the second one cannot be added to the filemap.",
        arrange=strike(gmem__readd={1: 1, 2: 0}), pages=ACROSS),
    "folio_lost": Situation(
        "The parts of a folio cannot be added to the filemap, nor can it be added again as it was.",
        arrange=strike(gmem__readd={}, gmem__undo_readd={})),
    "undo_cannot_store": Situation(
        "No vmemmap to split the folio, and no tree nodes either when the store is to be taken back.",
        arrange=strike(gmem__vmemmap={}, gmem__undo_tree={})),
    "undo_cannot_merge": Situation(
        "Of two ranges the first is done, the second finds no vmemmap; the first folio cannot be merged again.",
        arrange=after(shared_before((0x200, 0x400)), strike(gmem__vmemmap={2: 0}, gmem__undo_restructure={})),
        pages=ACROSS),
    "undo_cannot_split": Situation(
        "Of two ranges the first is done, the second cannot be stored; the first folio cannot be split again.",
        PRIVATE, after(back(0x200, 0x400), strike(gmem__tree={2: 0}, gmem__undo_restructure={})), ACROSS),
    # --- KVM and the TDX module, while a no can still be said
    "no_memory_to_split": Situation("No memory for the tables that a split leaf needs.", arrange=no_memory_for("kvm")),
    "busy_twice": Situation(
        "Another host operation holds the S-EPT tree lock: BLOCK is BUSY, and so is the one retry.",
        arrange=tree_locked),
    "busy_once": Situation(
        "BLOCK of the boundary leaf is BUSY once: somebody holds the S-EPT tree lock for a moment.",
        arrange=strike(tdx__busy={1: 0})),
    "demote_busy_twice": Situation(
        "The boundary leaf is blocked when its DEMOTE is BUSY, and so is the one retry.",
        arrange=strike(tdx__demote_busy={1: 0, 2: 0})),
    "track_busy_twice": Situation(
        "The boundary leaf is blocked when TRACK is BUSY, and so is the one retry.",
        arrange=strike(tdx__track_busy={1: 0, 2: 0})),
    "second_leaf_busy_twice": Situation(
        "The range cuts two leaves. The first one is split when BLOCK of the second is BUSY, and so is the one retry.",
        arrange=strike(tdx__busy={2: 0, 3: 0}), pages=(0x1F0, 0x210)),
    "remove_busy_once": Situation(
        "PAGE.REMOVE of the third page is BUSY once.", arrange=strike(tdx__remove_busy={1: 2})),
    "demote_interrupted": Situation("An old TDX module interrupts DEMOTE.", arrange=strike(tdx__interrupted={})),
    "kvm_dead": Situation(
        "KVM is bugged by something else just before it is asked.",
        arrange=after(dies_at(m.Prepare), dies_at(m.Invalidate))),
    "kvm_dead_to_private": Situation(
        "KVM is bugged by something else just before it is asked.",
        PRIVATE, after(dies_at(m.Prepare), dies_at(m.Invalidate))),
    "leaf_stays_mapped": Situation(
        "KVM could not unmap the third page once, and has told nobody.", arrange=stays_mapped(0x12)),
    "second_split_refused": Situation(
        "Of two ranges the first is done when KVM finds no memory to split the second one's leaf.",
        arrange=after(shared_before((0x200, 0x400)), strike(kvm__split_memory={2: 0})), pages=ACROSS),
    "guest_holds_page": Situation(
        "The guest has released all but the third page before it asks. With vm.td_pinned = true.",
        arrange=released((START, 0x12), (0x13, END)), overrides=PINNED),
    "guest_holds_page_again": Situation(
        "The guest accepts the third page again once all have agreed. With vm.td_pinned = true.",
        arrange=after(released((START, END)), accepted_at(m.Commit, 0x12)), overrides=PINNED),
    # --- references
    "page_pinned": Situation("A device holds the third page for ever.", PRIVATE, pin(0x12, 0x13)),
    "neighbour_pinned": Situation(
        "The first two pages are shared already, and a device holds them for ever.",
        arrange=after(shared_before((START, START + 2)), pin(START, START + 2))),
    "stray_reference": Situation(
        "Somebody astray holds a reference on the third page, private as it is, and lets go after three seconds.",
        arrange=pin(0x12, 0x13, SECOND)),
    "stray_reference_for_ever": Situation(
        "Somebody astray holds a reference on the third page, private as it is, for ever.", arrange=pin(0x12, 0x13)),
    "lru_reference": Situation("An LRU batch holds a page.", PRIVATE, strike(pins__lru={})),
    "brief_reference": Situation(
        "GUP-fast holds a page for a moment, which is longer than it takes to drain the LRU batches.",
        PRIVATE, strike(pins__transient={}), overrides=("costs.override.transient_ref=100us",)),
    "brief_reference_too_long": Situation(
        "GUP-fast holds a page for longer than references may stay frozen.",
        PRIVATE, strike(pins__transient={}), overrides=("costs.override.transient_ref=1ms",)),
    # --- the IOMMU driver, while a no can still be said
    "no_memory_for_iopte": Situation(
        "The devices map the huge page by one entry, and there is no memory to split it.",
        PRIVATE, after(shared_before(FOLIO), one_entry(*FOLIO), no_memory_for("iommu"))),
    "queue_full": Situation("Every descriptor of the invalidation queue is taken.", PRIVATE, queue_full),
    "queue_stuck": Situation("The invalidation queue waits for another VM's request.", PRIVATE, queue_stuck),
    "devices_going": Situation(
        "The VM's devices are closed while the IOMMU driver waits for memory to split their entry.",
        PRIVATE, after(shared_before(FOLIO), one_entry(*FOLIO), detached_meanwhile)),
    "devices_pin": Situation(
        "Device mappings hold pins, and the VMM unmaps only what was refused for them. With vm.iommu = pin.",
        PRIVATE, overrides=("vm.iommu=pin", "vmm.retry=cooperative", "vmm.unmap=on-eagain")),
    "devices_not_mapped_again": Situation(
        "Device mappings hold pins, which the VMM drops before it asks. Another device holds the third page, and "
        "there is no memory to map the range again. With vm.iommu = pin.",
        PRIVATE, after(pin(0x12, 0x13), strike(iommu__map={})), overrides=("vm.iommu=pin",)),
    "two_refusals": Situation(
        "Two say no: somebody astray holds a reference, and there is no memory to split the leaf.",
        arrange=after(pin(0x12, 0x13), no_memory_for("kvm"))),
    "two_refusals_to_private": Situation(
        "Two say no at once: a device holds a page, and the invalidation queue is full.",
        PRIVATE, after(pin(0x12, 0x13), queue_full)),
    # --- no answer
    **{f"no_answer_from_{consumer.name.lower()}": Situation(
        f"READY of {consumer.name.lower()} gets lost.", SHARED, silent(consumer),
        overrides=option(prepare_timeout="1ms")) for consumer in ALL},
    "no_answer_from_iommu_to_private": Situation(
        "READY of iommu gets lost.", PRIVATE, silent(Consumer.IOMMU), overrides=option(prepare_timeout="1ms")),
    # --- after the decision, or past the point of no return
    "remove_bug": Situation("PAGE.REMOVE of the third page fails for a bug (F6).", arrange=strike(tdx__bug={1: 2})),
    "remove_busy_twice": Situation(
        "PAGE.REMOVE of the third page is BUSY, and so is the one retry.",
        arrange=strike(tdx__remove_busy={1: 2, 2: 0})),
    "kvm_dies": Situation("KVM is bugged by something else just before it is to unmap.", arrange=dies_at(m.Commit)),
    "kvm_dies_to_private": Situation(
        "KVM is bugged by something else just before it is to unmap.", PRIVATE, dies_at(m.Commit)),
    "iotlb_hangs": Situation("The IOTLB invalidation never completes (F5).", PRIVATE, strike(iommu__timeout={})),
    # --- two troubles at once, and a race
    "remapped_not_for_devices": Situation(
        "No memory for the tree's nodes, and none when the devices' mapping is to come back. With on_error = remap.",
        PRIVATE, strike(gmem__tree={}, iommu__map={}), overrides=option(on_error="remap")),
    "remapped_not_in_kvm": Situation(
        "No memory for the tree's nodes, and a lock is held when the pages are to be mapped again. "
        "With on_error = remap.",
        arrange=strike(gmem__tree={}, tdx__aug_busy={}), overrides=option(on_error="remap")),
    "leaf_after_ready": Situation(
        "Nothing is mapped when KVM is asked; a fault that looked before installs a leaf of 2 MiB after its READY.",
        arrange=after(touched(0x0, 0x200, delay=1_000), preempted(10_300)), overrides=("vm.start=unaccepted",)),
    "fault_while_frozen": Situation(
        "A vCPU touches the pages, and its thread is preempted when it has looked the folio up, until the range is "
        "frozen.",
        arrange=after(touched(START, END, delay=1_000), preempted_until(m.Freeze)), overrides=("vm.start=unaccepted",)),
    "fault_after_thaw": Situation(
        "A vCPU touches the pages, and its thread is preempted when it has looked the folio up, until the invalidation "
        "is over.",
        arrange=after(touched(START, END, delay=1_000), preempted_until(m.Thaw)), overrides=("vm.start=unaccepted",)),
    # --- several files on the inode
    "two_files": Situation(
        "Another VM has a file of the inode, and maps nothing of the range.", overrides=TWO_FILES),
    "two_files_to_private": Situation(
        "Another VM has a file of the inode, and maps the shared range.",
        PRIVATE, used_elsewhere(START, END), overrides=TWO_FILES),
    "two_files_fault": Situation(
        "Another VM maps the shared range, and uses it once more when it has just been unmapped.",
        PRIVATE, after(used_elsewhere(START, END), uses_again(START, END)), overrides=TWO_FILES),
    "two_files_refused": Situation(
        "Another VM has a file of the inode, and its KVM cannot split anything.",
        arrange=strike(kvm__file_split={}), overrides=TWO_FILES),
    "vmm_killed": Situation("The VMM is killed while consumers are asked.", arrange=killed(13_000)),
    "teardown_bug": Situation(
        "The VMM is killed while consumers are asked. When its file is torn down, a bug keeps a 2 MiB leaf in "
        "the S-EPT; the host gives out what it gets back at once.",
        arrange=after(killed(13_000), strike(tdx__teardown={3: 0}))),
    "teardown_reclaimed": Situation(
        "The VMM stops while consumers are asked, and calls KVM_TDX_TERMINATE_VM before it closes the file.",
        arrange=stops(13_000), overrides=("vm.terminate=true",)),
    "teardown_reclaim_bug": Situation(
        "The VMM stops and calls KVM_TDX_TERMINATE_VM as well, and a bug keeps a 2 MiB leaf from being reclaimed.",
        arrange=after(stops(13_000), strike(tdx__teardown={3: 0})), overrides=("vm.terminate=true",)),
    # --- after the ioctl
    "devices_not_mapped": Situation(
        "The ioctl succeeds; then the VMM cannot map the range for its devices.", arrange=strike(iommu__map={})),
    "devices_gone": Situation("The ioctl succeeds; the VM's IOMMU domain is gone.", arrange=detached),
}
# fmt: on


SHORT = Situation(
    "PAGE.REMOVE of the third page fails for a bug (F6), and the host's page pool is empty by then.",
    arrange=strike(tdx__bug={1: 2}, alloc__pages={3: 0}),
)


def under(name: str, **chosen: str) -> Situation:
    """The situation of this name under other parameters of the protocol."""
    return changed(PLAIN[name], **chosen)


def changed(plain: Situation, **chosen: str) -> Situation:
    """A situation under other parameters of the protocol."""
    words = ", ".join(f"{key} = {value}" for key, value in chosen.items())
    about = f"{plain.about} With {words}."
    return plain._replace(about=about, overrides=plain.overrides + option(**chosen))


SITUATIONS: dict[str, Situation] = {
    **PLAIN,
    "list_error_reported": under("no_list_item", swallow_enomem="false"),
    "remapped_after_refusal": under("queue_stuck", on_error="remap"),
    "remapped_after_no_tree_nodes": under("no_tree_nodes", on_error="remap"),
    "freeze_late": under("to_shared", freeze_at="commit"),
    "freeze_late_refused": under("busy_twice", freeze_at="commit"),
    "freeze_late_leaf_after_ready": under("leaf_after_ready", freeze_at="commit"),
    "host_unmapped_early": under("queue_stuck", host_unmap="early-saved"),
    "iommu_unmapped_early": under("page_pinned", iommu_prepare="unmap-early"),
    "iommu_unmapped_early_hangs": under("iotlb_hangs", iommu_prepare="unmap-early"),
    "remove_bug_untraced": under("remove_bug", mark="none"),
    "remove_bug_referenced": under("remove_bug", mark="refcount"),
    "remove_bug_page_flag": under("remove_bug", mark="page-flag"),
    "remove_bug_folio_flag": under("remove_bug", mark="folio-flag"),
    "remove_bug_split_flag": under("remove_bug", mark="split-flag"),
    "remove_bug_split_flag_no_memory": changed(SHORT, mark="split-flag"),
    "remove_bug_folio_list": under("remove_bug", mark="folio-list"),
    "remove_bug_folio_list_no_memory": changed(SHORT, mark="folio-list"),
    "remove_bug_hwpoison": under("remove_bug", mark="hwpoison"),
    "waits_for_references": under("to_shared", mark="refcount"),
    "waits_for_no_small_folio": under("folio_small_already", mark="refcount"),
    "file_by_file": under("two_files", per_file="true"),
    "file_by_file_refused": under("two_files_refused", per_file="true"),
    "file_by_file_several_ranges": under("several_ranges", per_file="true")._replace(
        about="Another VM has a file of the inode, and two ranges are left to convert. With per_file = true.",
        overrides=(*TWO_FILES, *option(per_file="true")),
    ),
    "rest_stored": under("remove_bug", on_poison="proceed-rest"),
    "told_by_callback": under("remove_bug", mark="callback"),
    "looked_once": under("to_shared", post_commit_check="fail-efault"),
    "looked_once_after_bug": under("remove_bug", post_commit_check="fail-efault"),
    **{
        f"store_first_{name}": under(name, store_first="true")
        for name in ("to_shared", "several_ranges", "no_vmemmap", "folio_not_readded")
    },
    **{
        f"folio_first_{name}": under(name, zap_first="no")
        for name in (
            "to_shared",
            "several_ranges",
            "folio_small_already",
            "no_vmemmap",
            "folio_not_readded",
            "busy_twice",
        )
    },
}
