"""What becomes of a bug in COMMIT by the mark that it leaves, under C and C0, which is C then."""

from actors.contract import Reason as R
from tests.transcripts.stories.told import Told

# fmt: off
MARKED: dict[str, Told] = {
    "remove_bug_page_flag": Told(R.DEAD, "AN11 I4",
        "KVM bugs the VM and flags the page (4). The folio is huge and its struct pages are optimised away, so the "
        "flag is lost: guest_memfd finds nothing and stores (5). With the file the page goes back, and the host gives "
        "it to somebody else while the S-EPT maps it (AN11)."),
    "remove_bug_folio_flag": Told(R.BUG, "AN15",
        "KVM bugs the VM and flags the folio (4). guest_memfd finds the flag, stores nothing and answers EFAULT (5): "
        "which page it was nobody knows, and all 512 are out of use."),
    "remove_bug_split_flag": Told(R.BUG, "AN15",
        "KVM bugs the VM (4). The folio is split with memory that is had on the error path, and the page flagged; "
        "nothing is stored, EFAULT (5). After teardown every other page of the folio goes back."),
    "remove_bug_split_flag_no_memory": Told(R.BUG, "AN11 AN15 I4",
        "KVM bugs the VM (4). There is no memory to split the folio, so nothing is marked; EFAULT all the same (5). "
        "With the file the page goes back, and the host gives it to somebody else while the S-EPT maps it (AN11)."),
    "remove_bug_folio_list": Told(R.BUG, "AN15",
        "KVM bugs the VM, flags the folio, and puts the page on its list, which takes a node (4). guest_memfd finds "
        "both; nothing is stored, EFAULT (5). As with a list in guest_memfd the folio stays for its one page."),
    "remove_bug_folio_list_no_memory": Told(R.BUG, "AN15",
        "KVM bugs the VM and flags the folio; there is no memory for the list's node (4). So all of the folio counts "
        "as bad (5)."),
    "remove_bug_hwpoison": Told(R.BUG, "AN15",
        "KVM bugs the VM, and the page counts as memory that has failed (4), by a list of the folio; whoever touches "
        "it from here on meets EHWPOISON. Nothing is stored, EFAULT (5)."),
}
# fmt: on
