"""What becomes of a situation under C' alone."""

from actors.contract import Reason as R
from tests.transcripts.stories.told import Told
from tests.transcripts.stories.two_phases import TWO_PHASES

# fmt: off
TWO_PHASE_REFCOUNT: dict[str, Told] = {
    **TWO_PHASES,
    "remove_bug": Told(None, "AN9 L1 L2",
        "No callback and no KVM_BUG_ON: KVM leaves a reference on the page and unmaps the rest (4). guest_memfd "
        "waits for that reference for ever, its lock held and the range frozen (5): it was never told what it is "
        "(AN9)."),
    "teardown_bug": Told(R.DEAD, "AN10",
        "The conversion ends as ever (5). Of the file REMOVE fails for one leaf: KVM leaves a reference on "
        "the folio, which never comes back, and nobody has its name (AN10)."),
    "remove_busy_twice": Told(None, "AN24 AN28 AN9 L1 L2",
        "A second BUSY is KVM_BUG_ON by contention alone (AN24, AN28), with a reference on the page (4). "
        "guest_memfd waits for that reference for ever (5; AN9)."),
    "kvm_dies": Told(R.DEAD, "",
        "SEAMCALLs work for a TD whose VM is bugged: its leaves are unmapped as ever (4), and "
        "guest_memfd stores (5). The VMM has stopped the VM meanwhile, and answers EIO."),
    "kvm_dies_to_private": Told(R.NONE, "",
        "Shared leaves need no SEAMCALL: they are zapped as ever (4), and the ioctl succeeds for a VM that is dead "
        "(5)."),
    "iotlb_hangs": Told(None, "AN28 AN9 L1 L2",
        "The IOMMU driver cannot refuse any more: the VM is bugged, with a reference on pages that a device may "
        "still write to (4; AN28). guest_memfd waits for that reference for ever (5; AN9)."),
    "told_by_callback": Told(R.BUG, "AN15 AN3 I11 I13",
        "With a callback C' is C again: the page is poisoned, nothing is stored, EFAULT (5). Only KVM_BUG_ON is "
        "missing: the VM lives on with the rest of the range unmapped (AN3)."),
    "looked_once": Told(R.NONE, "",
        "No folio carries a reference that a bug left (5): store, restructure, thaw."),
    "looked_once_after_bug": Told(R.BUG, "AN10 AN15 AN3 I11 I13",
        "KVM leaves a reference on the page and unmaps the rest (4). guest_memfd looks once, finds it, and answers "
        "EFAULT with the old attribute in place (5): three of four pages are unmapped, in a VM that lives on (AN3, "
        "AN1), and the fourth one never comes back (AN10)."),
    "remove_bug_split_flag": Told(R.BUG, "AN15 AN3 AN7 I10 I11 I13",
        "The VM is not bugged. The folio is split with memory that is had on the error path, and the page flagged (4); "
        "EFAULT leaves the old share to what was unmapped (5; AN3), and the folio is small now (AN7)."),
    "remove_bug_split_flag_no_memory": Told(R.BUG, "AN11 AN15 AN3 I11 I13 I4",
        "The VM is not bugged. There is no memory to split the folio, so nothing is marked (4); EFAULT all the same "
        "(5; AN3). With the file the page goes back while the S-EPT maps it (AN11)."),
}
# fmt: on
