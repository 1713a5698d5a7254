"""What becomes of a situation under C0 alone."""

from actors.contract import Reason as R
from tests.transcripts.stories.marked import MARKED
from tests.transcripts.stories.referenced import REFERENCED
from tests.transcripts.stories.told import Told
from tests.transcripts.stories.two_phases import TWO_PHASES

# fmt: off
TWO_PHASE_UNTRACED: dict[str, Told] = {
    **TWO_PHASES,
    **REFERENCED,
    **MARKED,
    "remove_bug": Told(R.DEAD, "AN11 I4",
        "KVM_BUG_ON, the rest is unmapped (4), and that is all: guest_memfd is told nothing and stores (5). With the "
        "file the page goes back, and the host gives it to somebody else while the S-EPT maps it (AN11)."),
    "teardown_bug": Told(R.DEAD, "AN11 I4",
        "The conversion ends as ever (5). Of the file REMOVE fails for one leaf, and that is all: its folio "
        "goes back with the others, and somebody else has it while the TD still owns it (AN11)."),
    "remove_busy_twice": Told(R.DEAD, "AN24 AN28",
        "KVM_BUG_ON by contention alone (4; AN24, AN28), and that is all: guest_memfd stores (5). Teardown removes "
        "the entry before the frames go back."),
    "kvm_dies": Told(R.DEAD, "",
        "SEAMCALLs work for a TD whose VM is bugged: its leaves are unmapped as ever (4), and "
        "guest_memfd stores (5). The VMM has stopped the VM meanwhile, and answers EIO."),
    "kvm_dies_to_private": Told(R.NONE, "",
        "Shared leaves need no SEAMCALL: they are zapped as ever (4), and the ioctl succeeds for a VM that is dead "
        "(5)."),
    "iotlb_hangs": Told(R.NONE, "AN28",
        "The VM is bugged for a device's sake (4; AN28), and that is all: guest_memfd stores (5). Until "
        "the VMM is gone and its domain is flushed, a device may write to what is private now."),
    "told_by_callback": Told(R.BUG, "AN15",
        "With a callback C0 is C again: the page is poisoned, nothing is stored, EFAULT (5)."),
}
# fmt: on
