"""What becomes of each situation under B, in the steps of actors/protocols/undo.py."""

from actors.contract import Reason as R
from tests.transcripts.stories.raced import RACED
from tests.transcripts.stories.told import Told

# fmt: off
UNDO: dict[str, Told] = {
    **RACED,
    "to_shared": Told(R.NONE, "",
        "One range is on the list (2). KVM splits the boundary leaf and zaps the pages (4); its result would be "
        "discarded. Then the store, the wait for references, and the folio is split and its parts are added (5)."),
    "to_private": Told(R.NONE, "",
        "The host's page tables are cleared, KVM zaps its shared leaves, the references are looked at, the IOMMU "
        "driver unmaps (4). Then the store, and the folio is merged again (5). The guest would accept the pages "
        "next."),
    "already_shared": Told(R.NONE, "",
        "Success: nothing would be on the list (2)."),
    "several_ranges": Told(R.NONE, "",
        "Two ranges are on the list (2). Both are zapped first (4); then each is stored and its folio split (5)."),
    "several_ranges_to_private": Told(R.NONE, "",
        "Two ranges are on the list (2). Both are unmapped first (4); then each is stored and its folio merged (5)."),
    "folio_small_already": Told(R.NONE, "",
        "After the store there is no folio to split (5)."),
    "gigabyte_folio": Told(R.NONE, "",
        "After the store the folio of 1 GiB becomes folios of 2 MiB, and the one around the range folios of 4 KiB "
        "(5). Its metadata is put aside in the stash."),
    "file_closed": Told(R.DEAD, "",
        "EIO, and nothing was begun (1)."),
    "pool_empty": Told(R.NONE, "AN18 AN19 I1 I21 I22",
        "No memory for the list (2). An inner variable hides the error (swallow_enomem): success is reported and "
        "nothing is converted (AN19). The VMM believes it, and maps a private page for its devices (AN18)."),
    "pool_empty_to_private": Told(R.NONE, "AN18 AN19 I21 I22",
        "No memory for the list (2). An inner variable hides the error (swallow_enomem): success is reported and "
        "nothing is converted (AN19). The VMM believes it (AN18)."),
    "no_tree_nodes": Told(R.NO_MEMORY, "AN15 AN3 I11 I13",
        "The pages are zapped (4) when the store fails (5). There is nothing to undo but page tables, and those are "
        "not undone (6): the pages stay private and unmapped (AN3), and the guest dies when it touches one (AN1)."),
    "no_tree_nodes_to_private": Told(R.NO_MEMORY, "AN18 AN8 I21",
        "Everything is unmapped (4) when the store fails (5). There is nothing to undo but page tables, and those "
        "are not undone (6): host PTEs (AN8), shared leaves and device mappings (AN18) are missing."),
    "no_vmemmap": Told(R.NO_MEMORY, "AN3 AN15 I11 I13",
        "The attribute is stored when the folio cannot be split (5). The undo stores the old value (6). Zapped "
        "pages stay zapped (AN3), the split leaf stays split (AN15)."),
    "no_list_item": Told(R.NONE, "AN18 AN19 I1 I21 I22",
        "An inner variable hides the error (swallow_enomem): the list ends before the second range (2). The first "
        "one is converted, and success is reported for both (AN19, AN18)."),
    "folio_not_readded": Told(R.NO_MEMORY, "AN3 AN15 I11 I13",
        "The attribute is stored and the folio out of the filemap when its parts cannot be added (5). It goes back "
        "as it was, and the undo stores the old value (6). Zapped pages stay zapped (AN3)."),
    "folio_not_readded_to_private": Told(R.NO_MEMORY, "AN18 AN8 I21",
        "The attribute is stored when the whole folio cannot be added (5). Its parts go back, and the undo stores "
        "the old value (6). Host PTEs (AN8), shared leaves and device mappings (AN18) stay away."),
    "second_folio_not_readded": Told(R.NO_MEMORY, "AN3 AN15 I11 I13",
        "The first folio is split when the second one fails (5). The second one goes back, the undo merges the "
        "first one and stores the old value (6). Zapped pages stay zapped (AN3)."),
    "folio_lost": Told(R.NO_MEMORY, "AN3 AN5 AN6 AN7 AN15 I5 I8 I10 I11 I13",
        "The local undo of step 5 fails as well: neither the folio nor its parts are in the filemap (AN5), and its "
        "metadata is left in the stash (AN6). The kernel leaves a WARNING; the undo stores the old value over the "
        "hole (6)."),
    "undo_cannot_store": Told(R.NO_MEMORY, "AN15 AN18 AN3 AN4 I10 I11 I21 I6",
        "The folio is not split when the undo gives up with a WARNING (6): after an error the pages are shared "
        "(AN4), and inside a huge folio."),
    "undo_cannot_merge": Told(R.NO_MEMORY, "AN3 AN6 AN7 AN15 I8 I10 I11 I13",
        "The undo comes from the second range back to the first (6), and fails with a WARNING: its folio stays "
        "split (AN7), while its stash was taken back before the merge could fail (AN6)."),
    "undo_cannot_split": Told(R.NO_MEMORY, "AN18 AN4 AN7 AN8 I10 I21",
        "The undo comes back to the first range (6), whose folio was merged. A shared page must not lie in a huge "
        "folio, so it can only leave the range as it is, with a WARNING: private after an error (AN4), merged "
        "(AN7)."),
    "no_memory_to_split": Told(R.NONE, "I13",
        "A leaf that cannot be split is zapped as a whole (4). Success; but the pages around the range were "
        "accepted and are mapped no more. The guest dies when it touches one of them (AN1)."),
    "busy_twice": Told(None, "AN24 AN28 AN9 L1 L2",
        "The leaf cannot be split, so it is to be zapped as a whole (4), and BLOCK is BUSY twice again: KVM_BUG_ON "
        "by contention alone (AN24, AN28) and a reference on the leaf. The result is discarded; step 5 waits for "
        "that reference for ever, with the lock held (AN9)."),
    "busy_once": Told(R.NONE, "",
        "KVM kicks all vCPUs out and keeps them out, and the one retry succeeds (4). Everything else is as ever."),
    **dict.fromkeys((
        "demote_busy_twice", "track_busy_twice"),
        Told(R.NONE, "I13",
        "KVM puts the leaf back (TRACK, kick, UNBLOCK) and zaps it as a whole (4). Success; but the pages around "
        "the range were accepted and are mapped no more. The guest dies when it touches one of them (AN1).")),
    "second_leaf_busy_twice": Told(R.NONE, "I13",
        "The first leaf is split; the second one cannot be, so it is zapped as a whole (4). Success; but its pages "
        "beyond the range were accepted and are mapped no more. The guest dies when it touches one of them (AN1)."),
    "remove_busy_once": Told(R.NONE, "",
        "KVM kicks all vCPUs out, tries the page once more, and goes on with the rest (4)."),
    "page_poisoned": Told(R.POISONED, "",
        "EHWPOISON, and nothing was begun (1)."),
    "demote_interrupted": Told(R.NONE, "I13",
        "KVM puts the leaf back (TRACK, kick, UNBLOCK) and zaps it as a whole (4). Success; but the pages around "
        "the range were accepted and are mapped no more. The guest dies when it touches one of them (AN1)."),
    "kvm_dead": Told(R.DEAD, "",
        "A dead VM is not asked whether it can be split: its boundary leaf goes as a whole (4), the attribute is "
        "stored and the folio split (5). The VM is gone in any case."),
    "kvm_dead_to_private": Told(R.DEAD, "",
        "To private KVM's EIO counts (4). The VM is gone in any case."),
    "second_split_refused": Told(R.NONE, "I13",
        "Of the second range the leaf is zapped as a whole (4). Success for both; but the pages around the second "
        "range were accepted and are mapped no more (AN1 when the guest touches one)."),
    "page_pinned": Told(R.REFERENCES, "AN8",
        "The host's PTEs and KVM's shared leaves are gone when the references are looked at (4): EAGAIN with the "
        "page. The PTEs do not come back by themselves (AN8)."),
    "stray_reference": Told(R.NONE, "AN9 L2",
        "Nobody has looked at the references of a private page. guest_memfd waits for it to go, its lock held and "
        "the range frozen (5); the kernel spins meanwhile, and more than a second of it is AN9."),
    "stray_reference_for_ever": Told(None, "AN9 L1 L2",
        "Nobody has looked at the references of a private page. guest_memfd waits for it to go, its lock held and "
        "the range frozen (5): for ever (AN9)."),
    **dict.fromkeys((
        "brief_reference", "lru_reference"),
        Told(R.REFERENCES, "AN25 AN8",
        "One look, no patience (4): EAGAIN, for a reference that would have been gone a moment later (AN25). Host "
        "PTEs are gone (AN8).")),
    **dict.fromkeys((
        "no_memory_for_iopte", "queue_full"),
        Told(R.NO_MEMORY, "AN8",
        "The IOMMU driver comes last and refuses (4). Its own mapping is as before; the host's PTEs are gone (AN8).")),
    "queue_stuck": Told(R.TIMEOUT, "AN8",
        "The IOMMU driver comes last, looks at its queue, and refuses (4). Its own mapping is as before; the host's "
        "PTEs are gone (AN8)."),
    "devices_going": Told(R.DEAD, "AN8",
        "The IOMMU driver finds that there is no domain to unmap from, and refuses (4): EIO. Host PTEs are gone "
        "(AN8); the VM is on its way out."),
    "devices_pin": Told(R.NONE, "AN8",
        "The IOMMU driver comes last and refuses with EAGAIN: its mapping is a pin (4). The host's PTEs are gone "
        "(AN8). The VMM unmaps each page that is refused and asks again, and then nothing is in the way."),
    "devices_not_mapped_again": Told(R.REFERENCES, "AN18 AN8",
        "The VMM unmaps the range from its devices before it asks. References are looked at after the host's page "
        "tables (4): EAGAIN. The VMM has no memory to map the range again: shared, and not mapped for devices "
        "(AN18), as are the host's PTEs (AN8)."),
    "guest_holds_page": Told(None, "AN28 AN9 L1 L2",
        "BLOCK cannot have the third page (4): KVM_BUG_ON, and a reference on it (AN28). The result is discarded, the "
        "attribute stored; step 5 waits for that reference for ever (AN9)."),
    "remove_bug": Told(None, "AN9 L1 L2",
        "KVM_BUG_ON, and a reference on the page (mark = refcount). The result is discarded (4), the attribute "
        "stored; then guest_memfd waits for that reference for ever, its lock held (5): it was never told what it "
        "is (AN9)."),
    "remove_busy_twice": Told(None, "AN24 AN28 AN9 L1 L2",
        "A second BUSY where pages are removed is KVM_BUG_ON by contention alone (AN24, AN28), with a reference on "
        "the page. The result is discarded (4); step 5 waits for that reference for ever (AN9)."),
    "iotlb_hangs": Told(R.TIMEOUT, "AN8",
        "The IOMMU driver has unmapped and waits for an invalidation that never comes (4): ETIMEDOUT. The range "
        "stays shared, with no host PTE (AN8) and no device mapping."),
    "devices_not_mapped": Told(R.NO_MEMORY, "AN18",
        "The attribute is stored and the ioctl has returned; then the VMM cannot map the range for its devices. "
        "Guest and VMM hold it for shared, the devices do not see it, and nobody takes anything back (AN18)."),
    "devices_gone": Told(R.DEAD, "",
        "The attribute is stored and the ioctl has returned; the mapping for the devices is EIO, for their domain "
        "is gone already."),
    "list_error_reported": Told(R.NO_MEMORY, "",
        "ENOMEM before anything was begun (2)."),
    "remove_bug_untraced": Told(R.DEAD, "AN11 I4",
        "KVM_BUG_ON, and nothing marks the page. The result is discarded (4), the attribute stored, the folio split "
        "(5). With the file the page goes back, and the host gives it to somebody else while the S-EPT maps it "
        "(AN11)."),
}
# fmt: on
