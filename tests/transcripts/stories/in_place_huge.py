"""What becomes of each situation under B2H, in the steps of actors/protocols/in_place.py."""

from actors.contract import Reason as R
from tests.transcripts.stories.raced import RACED_IN_THE_WINDOW
from tests.transcripts.stories.told import Told

# fmt: off
IN_PLACE_HUGE: dict[str, Told] = {
    **RACED_IN_THE_WINDOW,
    "to_shared": Told(R.NONE, "",
        "One batch. Tree nodes (3); KVM splits the boundary leaf (6) and zaps the pages (7), and the invalidation "
        "ends. Only then is the folio split (8) and the attribute stored (9): in between a fault finds the old "
        "attribute and the new sequence (the window RW1)."),
    "to_private": Told(R.NONE, "",
        "One batch. Tree nodes (3); the host's page tables are cleared and the references looked at (4); shared "
        "leaves and the devices' mapping go, and the invalidation ends (7). Then the folio is merged (8) and the "
        "attribute stored (9). The guest would accept the pages next."),
    "already_shared": Told(R.NONE, "",
        "Success, and nothing is done (1)."),
    "several_ranges": Told(R.NONE, "",
        "Two batches, one for each huge page that is not shared yet (2); each goes through steps 3 to 9 by itself."),
    "several_ranges_to_private": Told(R.NONE, "",
        "Two batches, one for each huge page that is not private yet (2); each goes through steps 3 to 9 by itself."),
    "folio_small_already": Told(R.NONE, "",
        "There is no folio to split: after the end of the invalidation (7) comes the store (9)."),
    "gigabyte_folio": Told(R.NONE, "",
        "A batch is one huge page, and here that has 1 GiB. It becomes folios of 2 MiB, and the one around the "
        "range folios of 4 KiB (8). The metadata was put aside when the folio was allocated: no stash changes."),
    "file_closed": Told(R.DEAD, "",
        "EIO, and nothing was begun (1)."),
    **dict.fromkeys((
        "pool_empty", "no_tree_nodes"),
        Told(R.NO_MEMORY, "",
        "ENOMEM before anything was begun (3).")),
    **dict.fromkeys((
        "pool_empty_to_private", "no_tree_nodes_to_private"),
        Told(R.NO_MEMORY, "",
        "ENOMEM before anything was begun (3): the host's page tables are as they were.")),
    "no_vmemmap": Told(R.NO_MEMORY, "AN15 AN3 I11 I13",
        "The pages are zapped and the invalidation is over (7) when there is no vmemmap (8). The page-cache entry "
        "is merged back without memory and nothing is stored; but the pages stay private and unmapped (AN3), and "
        "the guest dies when it touches one (AN1)."),
    "folio_not_readded": Told(R.NO_MEMORY, "AN15 AN3 I11 I13",
        "The pages are zapped and the invalidation is over (7) when the folio's parts cannot be added (8). The "
        "entry is merged back without memory and nothing is stored; but the pages stay private and unmapped (AN3, "
        "AN1)."),
    "folio_not_readded_to_private": Told(R.NO_MEMORY, "AN18 AN8 I21",
        "Host PTEs, shared leaves and device mappings are gone (4, 7) when the whole folio cannot be added (8). It "
        "stays in parts and nothing is stored; neither the host's PTEs (AN8) nor the device mappings (AN18) come "
        "back by themselves."),
    "second_folio_not_readded": Told(R.NO_MEMORY, "AN15 AN18 AN22 AN3 I11 I13 I21",
        "The first batch is done when the second one fails (8): it stays converted, and error_offset says where the "
        "rest begins (AN22), though the VMM does not look (AN18). The second batch stays private and unmapped "
        "(AN3)."),
    "no_memory_to_split": Told(R.NO_MEMORY, "",
        "KVM says no while nothing is zapped yet (6): the invalidation ends, ENOMEM, and everything is as before."),
    "busy_twice": Told(R.BUSY, "AN24",
        "A second BUSY is KVM_BUG_ON where a leaf is split, too (6, prepare_busy = bug): EBUSY, and a VM bugged by "
        "contention alone (AN24)."),
    "busy_once": Told(R.NONE, "",
        "KVM kicks all vCPUs out and keeps them out, and the one retry succeeds (6). Everything else is as ever."),
    **dict.fromkeys((
        "demote_busy_twice", "track_busy_twice"),
        Told(R.BUSY, "AN24",
        "The leaf is blocked by then, and a second BUSY is KVM_BUG_ON in any case (6, prepare_busy = bug): EBUSY, "
        "and a VM bugged by contention alone (AN24).")),
    "remove_busy_once": Told(R.NONE, "",
        "KVM kicks all vCPUs out, tries the page once more, and goes on with the rest (7)."),
    "page_poisoned": Told(R.POISONED, "",
        "EHWPOISON, and nothing was begun (1)."),
    "demote_interrupted": Told(R.INTERRUPTED, "",
        "For TDX huge pages any error of DEMOTE is KVM_BUG_ON (6, prepare_busy = bug), and there is no UNBLOCK: "
        "EINTR, from a VM that is dead with its leaf blocked."),
    "kvm_dead": Told(R.DEAD, "",
        "EIO (6). The VM is gone in any case."),
    "leaf_stays_mapped": Told(R.BUG, "",
        "EFAULT at that page (6), before anything is zapped."),
    "second_split_refused": Told(R.NO_MEMORY, "AN15 AN18 AN22 I21",
        "The first two batches are done when KVM cannot split the third one's leaf (6): they stay converted, and "
        "error_offset says where the rest begins (AN22), though the VMM does not look (AN18)."),
    "page_pinned": Told(R.REFERENCES, "AN8",
        "The host's page tables are cleared before the look (4): EAGAIN with the page. Their PTEs are all that is "
        "missing afterwards (AN8); the IOMMU driver gives its descriptor back."),
    "stray_reference": Told(R.NONE, "AN9 L2",
        "Nobody looks at the references of a private page. The pages are zapped (7) when the freeze of the folio's "
        "count waits for it to go (8), the lock held; the kernel spins meanwhile, and more than a second of it is "
        "AN9."),
    "stray_reference_for_ever": Told(None, "AN9 L1 L2",
        "Nobody looks at the references of a private page. The pages are zapped (7) when the freeze of the folio's "
        "count waits for it to go (8), the lock held: for ever (AN9)."),
    "lru_reference": Told(R.NONE, "",
        "The per-CPU LRU batches are drained, once (4), and the reference is gone: success."),
    **dict.fromkeys((
        "brief_reference", "brief_reference_too_long"),
        Told(R.REFERENCES, "AN25 AN8",
        "The per-CPU LRU batches are drained, once (4); the reference outlasts that: EAGAIN, for nothing that stays "
        "(AN25), and the host's PTEs are gone (AN8).")),
    **dict.fromkeys((
        "no_memory_for_iopte", "queue_full"),
        Told(R.NO_MEMORY, "AN8",
        "The IOMMU driver refuses (4), after the host's page tables were cleared (AN8). Its own mapping is as "
        "before.")),
    "queue_stuck": Told(R.TIMEOUT, "AN8",
        "The IOMMU driver looks at its queue and refuses (4), after the host's page tables were cleared (AN8). Its "
        "own mapping is as before."),
    "devices_going": Told(R.DEAD, "AN8",
        "The IOMMU driver finds that there is no domain to unmap from, and refuses (4): EIO. Host PTEs are gone "
        "(AN8); the VM is on its way out."),
    "two_refusals_to_private": Told(R.REFERENCES, "AN8",
        "The no that comes first decides (4), with the host's page tables cleared (AN8). The other one comes when "
        "its consumer is told already to take back what it may have said."),
    "guest_holds_page": Told(R.DEAD, "AN28",
        "The split that KVM is asked for (6) looks at boundary leaves alone. Where nothing may fail any more BLOCK "
        "cannot have the third page (7): KVM_BUG_ON (AN28). guest_memfd splits the folio (8) and stores (9); the VMM "
        "stops the VM."),
    "remove_bug": Told(R.DEAD, "AN11 I4",
        "KVM_BUG_ON where nothing may fail (7), and that is all. guest_memfd is told nothing, splits the folio (8) "
        "and stores (9). With the file the page goes back, and the host gives it to somebody else while the S-EPT "
        "maps it (AN11)."),
    "remove_busy_twice": Told(R.DEAD, "AN24 AN28",
        "KVM_BUG_ON by contention alone where nothing may fail (7; AN24, AN28). guest_memfd is told nothing, splits "
        "the folio (8) and stores (9). Teardown removes the entry before the frames go back."),
    "kvm_dies": Told(R.DEAD, "",
        "SEAMCALLs work for a TD whose VM is bugged: its leaves are zapped as ever (7), guest_memfd "
        "splits the folio (8) and stores (9). The VMM has stopped the VM meanwhile, and answers EIO."),
    "kvm_dies_to_private": Told(R.NONE, "",
        "Shared leaves need no SEAMCALL: they are zapped as ever (7), and the ioctl succeeds for a VM that is dead."),
    "iotlb_hangs": Told(R.NONE, "AN28",
        "Where nothing may fail (7) the VM is bugged for a device's sake (AN28). guest_memfd is told nothing and "
        "stores (9). Until the VMM is gone and its domain is flushed, a device may write to what is private now."),
    "leaf_after_ready": Told(R.NONE, "AN20 I17",
        "The window RW1: the fault reads the old attribute before step 9, and its sequence check passes, for the "
        "invalidation has ended in step 7. A private leaf goes in where the attribute says shared (AN20)."),
    "devices_pin": Told(R.NONE, "AN8",
        "The IOMMU driver is asked with the references and says no with EAGAIN: its mapping is a pin (4). The host's "
        "PTEs are gone (AN8). The VMM unmaps each page that is refused and asks again, and then nothing is in the "
        "way."),
    "devices_not_mapped_again": Told(R.REFERENCES, "AN18 AN8",
        "The VMM unmaps the range from its devices before it asks. EAGAIN for somebody else's pin (4), with the "
        "host's PTEs gone (AN8). The VMM has no memory to map the range again: shared, and not mapped for devices "
        "(AN18)."),
    "devices_not_mapped": Told(R.NO_MEMORY, "AN18",
        "The attribute is stored and the ioctl has returned; then the VMM cannot map the range for its devices. "
        "Guest and VMM hold it for shared, the devices do not see it, and nobody takes anything back (AN18)."),
    "devices_gone": Told(R.DEAD, "",
        "The attribute is stored and the ioctl has returned; the mapping for the devices is EIO, for their domain "
        "is gone already."),
    "store_first_to_shared": Told(R.NONE, "",
        "The folio is split (8) and the attribute stored (9) before the invalidation ends (7): a fault cannot find "
        "the old attribute with the new sequence. The window RW1 is closed."),
    "store_first_several_ranges": Told(R.NONE, "",
        "Two batches (2); in each the store (9) comes before the end of the invalidation (7)."),
    "store_first_no_vmemmap": Told(R.NO_MEMORY, "AN15 AN3 I11 I13",
        "The pages are zapped (7) when there is no vmemmap (8): the other order closes a window, and does not bring "
        "the pages back (AN3). The invalidation ends after the error."),
    "store_first_folio_not_readded": Told(R.NO_MEMORY, "AN15 AN3 I11 I13",
        "The pages are zapped (7) when the folio's parts cannot be added (8). The entry is merged back without "
        "memory, and the invalidation ends after the error. The pages stay unmapped (AN3)."),
    "folio_first_to_shared": Told(R.NONE, "AN21",
        "Without the fix-up of TDX huge pages v3 the folio is split (8) while a leaf of 2 MiB still maps it (AN21, "
        "until KVM has split the leaf in step 6)."),
    "folio_first_several_ranges": Told(R.NONE, "",
        "Two batches (2), in each the folio is split (8) before its leaf (6)."),
    "folio_first_folio_small_already": Told(R.NONE, "",
        "There is no folio to split: KVM splits and zaps as ever (6, 7)."),
    "folio_first_no_vmemmap": Told(R.NO_MEMORY, "",
        "Nothing is zapped yet when there is no vmemmap (8): the invalidation ends, ENOMEM, and everything is as "
        "before."),
    "folio_first_folio_not_readded": Told(R.NO_MEMORY, "",
        "Nothing is zapped yet when the folio's parts cannot be added (8). The entry is merged back without memory: "
        "everything is as before."),
    "folio_first_busy_twice": Told(R.BUSY, "AN21 AN24",
        "The folio is split when KVM says no (6): it is merged back. A second BUSY is KVM_BUG_ON in any case "
        "(AN24)."),
}
# fmt: on
