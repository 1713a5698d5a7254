"""What becomes of a situation under C alone."""

from actors.contract import Reason as R
from tests.transcripts.stories.marked import MARKED
from tests.transcripts.stories.referenced import REFERENCED
from tests.transcripts.stories.told import Told
from tests.transcripts.stories.two_phases import TWO_PHASES

# fmt: off
TWO_PHASE: dict[str, Told] = {
    **TWO_PHASES,
    **REFERENCED,
    "guest_holds_page_again": Told(R.BUG, "AN28",
        "A look is no lock: KVM has said READY (2), and BLOCK cannot have the page (4). KVM_BUG_ON, the poison "
        "callback, and the rest is unmapped (AN28). Nothing is stored, EFAULT (5): the guest has ended its own VM."),
    **MARKED,
    "remove_bug": Told(R.BUG, "AN15",
        "KVM cannot refuse any more. It bugs the VM, tells guest_memfd by the poison callback which page is still "
        "mapped, and unmaps the rest (4). guest_memfd stores nothing, remembers the page, and answers EFAULT (5). "
        "The VMM stops the VM; after teardown every frame goes back but those of the poisoned page's folio."),
    "teardown_bug": Told(R.DEAD, "",
        "The conversion ends as ever (5). Of the file REMOVE fails for one leaf: KVM says which by the "
        "poison callback and takes out the rest. The leaf's folio is kept out of use by name; all others go back."),
    "teardown_reclaim_bug": Told(R.DEAD, "",
        "Without an HKID a RECLAIM that fails is told of as a REMOVE would be: the leaf's folio is kept out of use by "
        "name, and all other frames go back."),
    "remove_busy_twice": Told(R.BUG, "AN15 AN24 AN28",
        "KVM cannot refuse any more. A second BUSY goes the poison callback's way (4): KVM_BUG_ON by contention alone "
        "(AN24, AN28), and the rest is unmapped. Nothing is stored, EFAULT (5)."),
    "kvm_dies": Told(R.DEAD, "",
        "SEAMCALLs work for a TD whose VM is bugged: its leaves are unmapped as ever (4), and "
        "guest_memfd stores (5). The VMM has stopped the VM meanwhile, and answers EIO."),
    "kvm_dies_to_private": Told(R.NONE, "",
        "Shared leaves need no SEAMCALL: they are zapped as ever (4), and the ioctl succeeds for a VM that is dead "
        "(5)."),
    "iotlb_hangs": Told(R.BUG, "AN28",
        "The IOMMU driver cannot refuse any more: it tells guest_memfd by the poison callback of pages that a "
        "device may still write to (4), which is the one hardware failure that the protocol leaves to the commit "
        "(AN28). Nothing is stored, EFAULT (5)."),
    "freeze_late_leaf_after_ready": Told(R.BUG, "AN17",
        "A leaf of 2 MiB is there when KVM is told to unmap a part of it (4; AN17). That it cannot, and PREPARE is "
        "over: KVM_BUG_ON and the poison callback, with no bug in anybody."),
    "host_unmapped_early": Told(R.TIMEOUT, "",
        "The host's page tables were cleared in PREPARE, with a list (2). The IOMMU driver says NO; ABORT puts the "
        "PTEs back from the list (3), after the READY that was still under way."),
    "iommu_unmapped_early": Told(R.REFERENCES, "",
        "The IOMMU driver unmaps and waits for its invalidation in PREPARE (2). Pins say NO; ABORT maps the entries "
        "again from a list, without memory (3). A device that used the range in between met a DMAR fault (AN2)."),
    "iommu_unmapped_early_hangs": Told(R.TIMEOUT, "",
        "The IOMMU driver unmaps in PREPARE and its invalidation never completes: that is a NO now (2), with the "
        "entries mapped again, and no failure after the decision any more."),
    "two_files": Told(R.NONE, "",
        "The KVM of each file is one user more: faults wait in both VMs (before 1), both are asked (1), both unmap "
        "(4). The other one has nothing to split and nothing to unmap."),
    "two_files_to_private": Told(R.NONE, "",
        "Both VMs' shared leaves go, each with a flush of its own vCPUs (4), before the store (5)."),
    "two_files_fault": Told(R.NONE, "",
        "The other VM's fault waits for the end of the invalidation, as any fault in the range does (before 1). Then "
        "the range is private: the access ends with an exit to the other VMM, whose memory it is not."),
    "two_files_refused": Told(R.NO_MEMORY, "",
        "One KVM says NO (2), and every other user ABORTs, the owner's KVM with them (3)."),
    "rest_stored": Told(R.BUG, "AN15 AN18 AN4 I21",
        "KVM bugs the VM and tells guest_memfd of the page by the poison callback (4). The rest is unmapped, and "
        "guest_memfd stores and splits all but that page, which leaves the filemap with a reference of its own (5): "
        "EFAULT, for a range most of which is shared now (AN4)."),
}
# fmt: on
