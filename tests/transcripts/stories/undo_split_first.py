"""What becomes of each situation under B1, where it is not as under B, in the steps of actors/protocols/undo.py."""

from actors.contract import Reason as R
from tests.transcripts.stories.told import Told
from tests.transcripts.stories.undo import UNDO

# fmt: off
UNDO_SPLIT_FIRST: dict[str, Told] = {
    **{name: told for name, told in UNDO.items() if name != "remove_bug_untraced"},  # it marks the page always
    "to_shared": Told(R.NONE, "",
        "KVM splits the boundary leaf while it can still say no (4a), then zaps the pages (4b). No folio carries a "
        "reference more than the filemap's (4c). Then the store, the wait for references, and the folio is split (5)."),
    "several_ranges": Told(R.NONE, "",
        "Two ranges are on the list (2). Each is split, zapped and looked at (4a, 4b, 4c) before the next one is; "
        "then each is stored and its folio split (5)."),
    "no_memory_to_split": Told(R.NO_MEMORY, "",
        "KVM says no while nothing is zapped yet (4a): ENOMEM, and everything is as before."),
    "busy_twice": Told(R.BUSY, "AN24",
        "In TDX huge pages a second BUSY is KVM_BUG_ON where a leaf is split, too (4a, prepare_busy = bug): EBUSY, "
        "and a VM bugged by contention alone (AN24)."),
    "busy_once": Told(R.NONE, "",
        "KVM kicks all vCPUs out and keeps them out, and the one retry succeeds (4a). Everything else is as ever."),
    "remove_busy_once": Told(R.NONE, "",
        "KVM kicks all vCPUs out, tries the page once more, and goes on with the rest (4b)."),
    **dict.fromkeys((
        "demote_busy_twice", "track_busy_twice"),
        Told(R.BUSY, "AN24",
        "The leaf is blocked by then, and a second BUSY is KVM_BUG_ON in any case (4a, prepare_busy = bug): EBUSY, "
        "and a VM bugged by contention alone (AN24).")),
    "second_leaf_busy_twice": Told(R.BUSY, "AN15 AN24",
        "The first leaf is split (AN15) when BLOCK of the second one is BUSY twice: KVM_BUG_ON (4a; AN24). Nothing was "
        "zapped; the VM is gone in any case."),
    "demote_interrupted": Told(R.INTERRUPTED, "",
        "For TDX huge pages any error of DEMOTE is KVM_BUG_ON (4a, prepare_busy = bug), and there is no UNBLOCK: "
        "EINTR, from a VM that is dead with its leaf blocked."),
    "kvm_dead": Told(R.DEAD, "",
        "EIO (4a). The VM is gone in any case."),
    "leaf_stays_mapped": Told(R.BUG, "",
        "EFAULT at that page (4a), before anything is zapped."),
    **dict.fromkeys((
        "stray_reference", "stray_reference_for_ever"),
        Told(R.BUG, "AN15 AN3 I11 I13",
        "The pages are zapped (4b) when the look after it finds a reference more than the filemap's: EFAULT (4c). It "
        "is no bug that left it, but a count does not say so. The pages are private and unmapped (AN3): the guest "
        "dies when it touches one (AN1).")),
    "second_split_refused": Told(R.NO_MEMORY, "AN15 AN3 I11 I13",
        "What is left of B's trouble: the first range is split and zapped (4a, 4b) when the second one cannot be "
        "split (4a). ENOMEM, and nobody maps the first range again (AN3): the guest dies when it touches a page of "
        "it (AN1)."),
    "guest_holds_page": Told(R.BUG, "AN10 AN28",
        "There is no leaf to split (4a). Where pages are zapped BLOCK cannot have the third one (4b): KVM_BUG_ON, and "
        "a reference on it (AN28). The look after it finds the reference: EFAULT (4c), and the page never comes back "
        "(AN10)."),
    "remove_bug": Told(R.BUG, "AN10 AN15",
        "KVM_BUG_ON, and a reference on the page (4b). The look after it finds the reference: EFAULT (4c). It keeps "
        "the page from being used again, and nobody will ever drop it (AN10)."),
    "remove_busy_twice": Told(R.BUG, "AN10 AN15 AN24 AN28",
        "Where pages are zapped a second BUSY is KVM_BUG_ON by contention alone (4b; AN24, AN28), with a reference "
        "on the page. The look after it finds the reference: EFAULT (4c), and the page never comes "
        "back (AN10)."),
    "kvm_dies": Told(R.DEAD, "",
        "SEAMCALLs work for a TD whose VM is bugged: its leaves are zapped as ever (4b), no "
        "reference is found (4c), and guest_memfd stores (5). The VMM has stopped the VM meanwhile, and answers EIO."),
    "two_files": Told(R.NONE, "",
        "All files split first, one after the other (4a), and all are zapped once none can say no any more (4b). The "
        "other VM has nothing to split."),
    "two_files_to_private": Told(R.NONE, "",
        "Nothing to split. Both VMs' shared leaves are zapped one after the other, each with a flush of its own "
        "vCPUs (4)."),
    "two_files_refused": Told(R.NO_MEMORY, "AN15",
        "The first file's leaf is split when the second file's KVM says no (4a): ENOMEM, with nothing zapped in any "
        "VM. What was split stays so."),
    "file_by_file": Told(R.NONE, "",
        "The sketch of June 2025: the first file is split and zapped (4a, 4b) before the second one is asked."),
    "file_by_file_several_ranges": Told(R.NONE, "",
        "Each range is split and zapped file by file (4a, 4b) and looked at (4c) before the next one is."),
    "file_by_file_refused": Told(R.NO_MEMORY, "AN15 AN3 I11 I13",
        "The hole that splitting all files first closes: the first file is zapped (4b) when the second one's KVM says "
        "no (4a). ENOMEM, and nobody maps the pages in the first file's VM again (AN3): its guest dies when it "
        "touches one (AN1)."),
}
# fmt: on
