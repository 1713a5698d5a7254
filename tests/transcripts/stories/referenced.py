"""What becomes of a situation where the mark is a reference, under C and C0, which then are C'."""

from actors.contract import Reason as R
from tests.transcripts.stories.told import Told

# fmt: off
REFERENCED: dict[str, Told] = {
    "remove_bug_referenced": Told(None, "AN9 L1 L2",
        "KVM bugs the VM and leaves a reference on the page (4). Folios that change are waited for (5), and that "
        "reference is one that nobody will drop: guest_memfd waits for ever, its lock held (AN9)."),
    "waits_for_references": Told(R.NONE, "",
        "The folio is about to be split, so guest_memfd waits until nobody else has a reference to it (5)."),
    "waits_for_no_small_folio": Told(R.NONE, "",
        "No folio changes, so nobody looks for references (5): one that a bug had left would not be found."),
}
# fmt: on
