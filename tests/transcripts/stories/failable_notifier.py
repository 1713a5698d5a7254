"""What becomes of each situation under A, in the steps of actors/protocols/failable_notifier.py."""

from actors.contract import Reason as R
from tests.transcripts.stories.raced import RACED
from tests.transcripts.stories.told import Told

# fmt: off
FAILABLE_NOTIFIER: dict[str, Told] = {
    **RACED,
    "to_shared": Told(R.NONE, "",
        "The consumers are told one after the other (step 2). KVM splits the boundary leaf and unmaps the pages in "
        "one go; the others have nothing to do. Then the store (4); then the folio is split (5)."),
    "to_private": Told(R.NONE, "",
        "The consumers are told one after the other (step 2): KVM zaps the shared leaves, the host's page tables "
        "are cleared, pins look at the references, the IOMMU driver unmaps and waits for its invalidation. Then the "
        "store (4); then the folio is merged again (5). The guest would accept the pages next."),
    "already_shared": Told(R.NONE, "",
        "Success, and nobody is told anything (1)."),
    **dict.fromkeys((
        "several_ranges", "several_ranges_to_private"),
        Told(R.NONE, "",
        "The protocol keeps no list: the whole range is told to the consumers, stored and restructured as one.")),
    "folio_small_already": Told(R.NONE, "",
        "After the store (4) there is no folio to split: nothing is waited for and nothing reserved (5)."),
    "gigabyte_folio": Told(R.NONE, "",
        "After the store (4) the folio of 1 GiB becomes folios of 2 MiB, and the one around the range folios of 4 "
        "KiB (5). The metadata of the huge folio is put aside in the stash."),
    "file_closed": Told(R.DEAD, "",
        "EIO, and nothing was begun (1)."),
    "pool_empty": Told(R.NO_MEMORY, "",
        "KVM, the first to be told, cannot split the boundary leaf: ERR (3). Nothing was unmapped before, so "
        "nothing is missing."),
    "pool_empty_to_private": Told(R.NO_MEMORY, "AN18 AN8 I21",
        "Everybody has unmapped (2) when the store finds no memory (4). The range stays shared, with no host PTE "
        "(AN8) and no device mapping, of which the VMM knows nothing (AN18): a device that uses it next meets a "
        "DMAR fault (AN2)."),
    "no_tree_nodes": Told(R.NO_MEMORY, "AN15 AN3 I11 I13",
        "KVM has unmapped the pages (2) when the store fails (4). They stay private, and unmapped (AN3); the guest "
        "holds them for accepted and dies when it touches one (AN1)."),
    "no_tree_nodes_to_private": Told(R.NO_MEMORY, "AN18 AN8 I21",
        "Everybody has unmapped (2) when the store fails (4). The range stays shared, with no host PTE (AN8) and no "
        "device mapping (AN18)."),
    "no_vmemmap": Told(R.NO_MEMORY, "AN3 AN15 I11 I13",
        "The attribute is stored (4), then the folio cannot be split (5). The store is taken back, what KVM "
        "unmapped is not mapped again (AN3)."),
    "folio_not_readded": Told(R.NO_MEMORY, "AN3 AN15 I11 I13",
        "The attribute is stored (4), then the parts of the folio cannot be added (5). The store is taken back, "
        "what KVM unmapped is not mapped again (AN3)."),
    "folio_not_readded_to_private": Told(R.NO_MEMORY, "AN18 AN8 I21",
        "The attribute is stored (4), then the whole folio cannot be added (5). The store is taken back; host PTEs "
        "(AN8) and device mappings (AN18) are not."),
    "second_folio_not_readded": Told(R.NO_MEMORY, "AN3 AN7 AN15 I10 I11 I13",
        "The first folio is split when the second one fails (5). The store is taken back, the split is not (AN7), "
        "nor is anything mapped again (AN3)."),
    "no_memory_to_split": Told(R.NO_MEMORY, "",
        "KVM, the first to be told, has no memory: ERR (3). Nothing was unmapped before, so nothing is missing."),
    "busy_twice": Told(R.BUSY, "",
        "KVM kicks all vCPUs out between the two tries, then answers ERR (3). Nothing was blocked yet and nobody "
        "else was told."),
    "busy_once": Told(R.NONE, "",
        "KVM kicks all vCPUs out and keeps them out, and the one retry succeeds (2). Everything else is as ever."),
    **dict.fromkeys((
        "demote_busy_twice", "track_busy_twice"),
        Told(R.BUSY, "",
        "The leaf is blocked by then. KVM puts it back (TRACK, kick, UNBLOCK) and answers ERR (3); nobody else was "
        "told.")),
    "second_leaf_busy_twice": Told(R.BUSY, "AN15",
        "KVM has split the first leaf when the second one makes it answer ERR (3). Nothing was zapped and nobody else "
        "was told; but the first leaf stays split (AN15)."),
    "remove_busy_once": Told(R.NONE, "",
        "KVM kicks all vCPUs out, tries the page once more, and goes on with the rest (2)."),
    "page_poisoned": Told(R.POISONED, "",
        "EHWPOISON, and nobody is told anything (1)."),
    "demote_interrupted": Told(R.INTERRUPTED, "",
        "The leaf is blocked by then. KVM puts it back (TRACK, kick, UNBLOCK) and answers ERR (3); nobody else was "
        "told."),
    **dict.fromkeys((
        "kvm_dead", "kvm_dead_to_private"),
        Told(R.DEAD, "",
        "ERR at once (3): EIO. The VMM stops the VM and its memory goes back.")),
    "guest_holds_page": Told(R.REFERENCES, "",
        "BLOCK cannot have the third page, which stays as it was; the rest of the range is unmapped, and ERR with "
        "EAGAIN (3). What is gone the guest has released before: it does not count on it."),
    "page_pinned": Told(R.REFERENCES, "AN8",
        "KVM's shared leaves and the host's PTEs are gone (2) when pins answer ERR (3): EAGAIN with the page. The "
        "PTEs do not come back by themselves (AN8). The IOMMU driver was not told yet."),
    "stray_reference": Told(R.NONE, "AN9 L2",
        "Nobody has looked at the references of a private page. guest_memfd waits for it to go, its lock held and "
        "the range frozen (5); the kernel would spin meanwhile, and more than a second of it is AN9."),
    "stray_reference_for_ever": Told(None, "AN9 L1 L2",
        "Nobody has looked at the references of a private page. guest_memfd waits for it to go, its lock held and "
        "the range frozen (5): for ever (AN9)."),
    **dict.fromkeys((
        "brief_reference", "lru_reference"),
        Told(R.REFERENCES, "AN25 AN8",
        "Pins look once and have no patience: ERR (3), EAGAIN, for a reference that would have been gone a moment "
        "later (AN25). Host PTEs are gone (AN8).")),
    **dict.fromkeys((
        "no_memory_for_iopte", "queue_full"),
        Told(R.NO_MEMORY, "AN8",
        "The IOMMU driver is the last to be told and answers ERR (3). Its own mapping is as before; the host's PTEs "
        "are gone (AN8).")),
    "queue_stuck": Told(R.TIMEOUT, "AN8",
        "The IOMMU driver is the last to be told, looks at its queue, and answers ERR (3). Its own mapping is as "
        "before; the host's PTEs are gone (AN8)."),
    "devices_going": Told(R.DEAD, "AN8",
        "The IOMMU driver finds that there is no domain to unmap from: ERR (3), EIO. Host PTEs are gone (AN8); the "
        "VM is on its way out."),
    "devices_pin": Told(R.NONE, "AN8",
        "The IOMMU driver comes last and answers ERR with EAGAIN: its mapping is a pin (3). The host's PTEs are gone "
        "(AN8). The VMM unmaps each page that is refused and asks again, and then nothing is in the way."),
    "devices_not_mapped_again": Told(R.REFERENCES, "AN18 AN8",
        "The VMM unmaps the range from its devices before it asks. Pins answer ERR (3), and when the VMM maps the "
        "range again it has no memory: shared, and not mapped for devices (AN18), as are the host's PTEs (AN8)."),
    "remove_bug": Told(R.BUG, "AN10 AN13 AN15 I18",
        "In the middle of step 2: KVM_BUG_ON, the rest of the range is unmapped, and ERR with EFAULT (3). A "
        "reference on the page is the only mark (mark = refcount): it keeps the page from being used again, and "
        "nobody will ever drop it (AN10). The VMM exits while the conversion is still under way, and its exit_mmap "
        "meets a callback that fails (AN13)."),
    "remove_busy_twice": Told(R.BUSY, "AN10 AN13 AN15 AN24 I18",
        "In the middle of step 2: a second BUSY where pages are removed is KVM_BUG_ON by contention alone (AN24), the "
        "rest of the range is unmapped, and ERR with EBUSY (3). A reference on the page is the only mark (AN10). The "
        "VMM's exit_mmap meets a callback that fails (AN13)."),
    "iotlb_hangs": Told(R.TIMEOUT, "AN8",
        "The IOMMU driver has unmapped and waits for an invalidation that never comes: ERR (3), ETIMEDOUT. The "
        "range stays shared, with no host PTE (AN8) and no device mapping."),
    "remapped_not_for_devices": Told(R.NO_MEMORY, "AN18",
        "The store fails (4), so all four are asked to map again (3). The IOMMU driver cannot, which is only "
        "logged: the range stays shared without a device mapping (AN18), and the next DMA faults (AN2)."),
    "remapped_not_in_kvm": Told(R.NO_MEMORY, "AN15 AN3 I11 I13",
        "The store fails (4), so all four are asked to map again (3). KVM's AUG finds a lock held, which is only "
        "logged: the pages are not even PENDING (AN3)."),
    "devices_not_mapped": Told(R.NO_MEMORY, "AN18",
        "The attribute is stored and the ioctl has returned; then the VMM cannot map the range for its devices. "
        "Guest and VMM hold it for shared, the devices do not see it, and nobody takes anything back (AN18)."),
    "devices_gone": Told(R.DEAD, "",
        "The attribute is stored and the ioctl has returned; the mapping for the devices is EIO, for their domain "
        "is gone already."),
    "remapped_after_refusal": Told(R.TIMEOUT, "",
        "Who has said OK is asked to map again (3), the last one first: pins have nothing to map, the host's PTEs "
        "come back from a list, KVM leaves its shared leaves to the next fault."),
    "remapped_after_no_tree_nodes": Told(R.NO_MEMORY, "AN15 AN3 I11 I13",
        "The store fails (4), so all four are asked to map again (3). KVM can only give the guest new pages "
        "(PAGE.AUG): their entries are PENDING and their contents gone, though the guest holds them for accepted "
        "(AN3; AN1 when it touches one)."),
    "remove_bug_untraced": Told(R.BUG, "AN11 AN13 AN15 I18 I4",
        "In the middle of step 2: KVM_BUG_ON, the rest of the range is unmapped, and ERR with EFAULT (3). Nothing "
        "marks the page: it goes back with the file, and the host gives it to somebody else while the S-EPT maps it "
        "(AN11). The VMM's exit_mmap meets a callback that fails (AN13)."),
}
# fmt: on
