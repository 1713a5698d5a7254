"""What becomes of each situation under C, C' and C0 alike, in the steps of actors/protocols/two_phase.py."""

from actors.contract import Reason as R
from tests.transcripts.stories.raced import RACED
from tests.transcripts.stories.told import Told

# fmt: off
TWO_PHASES: dict[str, Told] = {
    **RACED,
    "to_shared": Told(R.NONE, "",
        "KVM splits the boundary leaf while it is asked (step 2: BLOCK, TRACK, kick, DEMOTE) and unmaps the pages "
        "once all have agreed (4: BLOCK, TRACK, kick, REMOVE). The attribute is stored after the last "
        "acknowledgement and before the thaw (5)."),
    "to_private": Told(R.NONE, "",
        "Nothing has to be split. The host's page tables, shared EPT and IOMMU are unmapped once all have agreed "
        "(4). The folio is merged again (5), because all of its 2 MiB are private now. The guest would accept the "
        "pages next."),
    "already_shared": Told(R.NONE, "",
        "Success, and nobody is asked (before 1)."),
    **dict.fromkeys((
        "several_ranges", "several_ranges_to_private"),
        Told(R.NONE, "",
        "The protocol keeps no list: the whole range is asked for at once (1) and committed as one (4).")),
    "folio_small_already": Told(R.NONE, "",
        "There is no folio to split, so tree nodes are all that is reserved (before 1); there is no leaf to split "
        "either (2)."),
    "gigabyte_folio": Told(R.NONE, "",
        "Before it asks anybody guest_memfd reserves what the split of the folio takes: 1 GiB into 2 MiB, and one "
        "of those into 4 KiB (5). The metadata of the huge folio is put aside in the stash."),
    "file_closed": Told(R.DEAD, "",
        "EIO, and nobody is asked (before 1)."),
    **dict.fromkeys((
        "pool_empty", "pool_empty_to_private", "no_tree_nodes", "no_tree_nodes_to_private", "no_vmemmap"),
        Told(R.NO_MEMORY, "",
        "guest_memfd cannot reserve what it will need (before 1): ENOMEM, and nobody is asked.")),
    "no_memory_to_split": Told(R.NO_MEMORY, "",
        "KVM says NO (2). The others have said READY; each is told to ABORT and acknowledges (3). Everything is as "
        "before."),
    "busy_twice": Told(R.BUSY, "",
        "KVM kicks all vCPUs out between the two tries, then says NO (2). Nothing was blocked, so nothing has to be "
        "unblocked; the pages for the split go back, and the others ABORT (3)."),
    "busy_once": Told(R.NONE, "",
        "KVM kicks all vCPUs out and keeps them out, and the one retry succeeds (2). Everything else is as ever."),
    **dict.fromkeys((
        "demote_busy_twice", "track_busy_twice"),
        Told(R.BUSY, "",
        "The leaf is blocked by then. KVM puts it back (TRACK, kick, UNBLOCK), still under mmu_lock, and says NO "
        "after that (2). The others ABORT (3), and everything is as before.")),
    "second_leaf_busy_twice": Told(R.BUSY, "AN15",
        "KVM has split the first leaf when the second one makes it say NO (2); the others ABORT (3). Everything is as "
        "before but the first leaf, which stays split (AN15): nothing promotes it again."),
    "remove_busy_once": Told(R.NONE, "",
        "After the decision, too, KVM kicks all vCPUs out, tries the page once more, and goes on with the rest (4)."),
    "page_poisoned": Told(R.POISONED, "",
        "EHWPOISON, and nobody is asked (before 1)."),
    "demote_interrupted": Told(R.INTERRUPTED, "",
        "The leaf is blocked by then. KVM puts it back (TRACK, kick, UNBLOCK), still under mmu_lock, and says NO "
        "after that (2). The others ABORT (3)."),
    **dict.fromkeys((
        "kvm_dead", "kvm_dead_to_private"),
        Told(R.DEAD, "",
        "KVM says NO (2): EIO. The VMM stops the VM and its memory goes back.")),
    "leaf_stays_mapped": Told(R.BUG, "",
        "KVM could unmap the page no more than before: NO (2), EFAULT, and the offset is that page. The others "
        "ABORT (3)."),
    "guest_holds_page": Told(R.REFERENCES, "",
        "KVM is asked with the rest and looks at the entries (2: SEPT.RD): the third page is in use, so it says NO "
        "with that page. The others ABORT (3). Nothing was blocked, and the guest, which is told EAGAIN, releases the "
        "page before it tries again."),
    "vmm_killed": Told(R.DEAD, "",
        "The thread that is in the ioctl ends it: all say READY (2), they unmap (4), and the attribute is stored (5). "
        "The answer goes nowhere. Then the mm goes (N8 exit_mmap), the file is closed, and the VM is torn down with "
        "every frame back."),
    "teardown_reclaimed": Told(R.DEAD, "",
        "The conversion ends as ever (5); then the file is closed. The HKID goes first, so that the TD is "
        "in TD_TEARDOWN, and a leaf takes one PAGE.RECLAIM instead of BLOCK, TRACK, REMOVE. Every frame comes back."),
    "page_pinned": Told(R.REFERENCES, "",
        "Pins say NO (2): EAGAIN with the page, and nothing was unmapped. This VMM reports it to the guest; a "
        "cooperative one would make the device let go and try again."),
    "neighbour_pinned": Told(R.NONE, "",
        "Consumers are told which pages change sides (1), and pins count the references of these alone (2): the "
        "device has what it holds by right."),
    "stray_reference": Told(R.REFERENCES, "",
        "Pins look at private pages as well and say NO (2): EAGAIN. Nobody waits for a reference with the lock "
        "held."),
    "lru_reference": Told(R.NONE, "",
        "Pins drain the per-CPU LRU batches once (2); the reference is gone, and they say READY."),
    "brief_reference": Told(R.NONE, "",
        "Pins drain the per-CPU LRU batches once, which is no use here, and wait a moment (2); the reference goes, "
        "and they say READY."),
    "brief_reference_too_long": Told(R.REFERENCES, "AN25",
        "Pins drain the per-CPU LRU batches once and wait as long as counts may stay frozen; then they say NO (2): "
        "EAGAIN, for a reference that would have gone (AN25). Nothing was unmapped."),
    **dict.fromkeys((
        "no_memory_for_iopte", "queue_full"),
        Told(R.NO_MEMORY, "",
        "The IOMMU driver says NO (2). The others ABORT (3), and everything is as before.")),
    "queue_stuck": Told(R.TIMEOUT, "",
        "The IOMMU driver looks at its queue before it promises anything, and says NO (2): nothing is unmapped yet. "
        "The others ABORT (3)."),
    "devices_going": Told(R.DEAD, "",
        "The IOMMU driver finds that there is no domain to unmap from, and says NO (2): EIO. The VM is on its way "
        "out."),
    "two_refusals": Told(R.REFERENCES, "",
        "The first NO decides (3). KVM still waits for the allocator when it is told to ABORT; its own NO comes too "
        "late to matter, and before its acknowledgement."),
    **dict.fromkeys((
        "no_answer_from_kvm_mmu", "no_answer_from_host_map", "no_answer_from_pins", "no_answer_from_iommu"),
        Told(R.TIMEOUT, "AN15",
        "After the PREPARE timeout silence is a no (3): ABORT goes to everybody, ETIMEDOUT. The boundary leaf stays "
        "split (AN15): nothing promotes it again.")),
    "no_answer_from_iommu_to_private": Told(R.TIMEOUT, "",
        "After the PREPARE timeout silence is a no (3): ABORT goes to everybody, ETIMEDOUT. Everything is as "
        "before."),
    "devices_pin": Told(R.NONE, "",
        "The IOMMU driver says NO with EAGAIN: its mapping is a pin (2). Nothing was unmapped, the others ABORT (3). "
        "The VMM unmaps each page that is refused and asks again, and then everybody is ready."),
    "devices_not_mapped_again": Told(R.REFERENCES, "AN18",
        "The VMM unmaps the range from its devices before it asks. Pins say NO (2) and nothing else is touched (3); "
        "but the VMM has no memory to map the range again: shared, and not mapped for devices (AN18). No protocol of "
        "the kernel's can help that."),
    "devices_not_mapped": Told(R.NO_MEMORY, "AN18",
        "The attribute is stored and the ioctl has returned; then the VMM cannot map the range for its devices. "
        "Guest and VMM hold it for shared, the devices do not see it, and nobody takes anything back (AN18)."),
    "devices_gone": Told(R.DEAD, "",
        "The attribute is stored and the ioctl has returned; the mapping for the devices is EIO, for their domain "
        "is gone already."),
    "freeze_late": Told(R.NONE, "",
        "The range is frozen after the decision (3) and not before the question (1): faults go on while consumers "
        "prepare."),
    "freeze_late_refused": Told(R.BUSY, "",
        "KVM says NO (2) while faults go on; nothing has to be thawed after the ABORT (3)."),
}
# fmt: on
