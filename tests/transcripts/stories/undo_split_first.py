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
    "demote_interrupted": Told(R.INTERRUPTED, "",
        "For TDX huge pages any error of DEMOTE is KVM_BUG_ON (4a, prepare_busy = bug), and there is no UNBLOCK: "
        "EINTR, from a VM that is dead with its leaf blocked."),
    "kvm_dead": Told(R.DEAD, "",
        "EIO (4a). The VM is gone in any case."),
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
}
# fmt: on
