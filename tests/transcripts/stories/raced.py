"""What becomes of a guest fault that races with a conversion; under B2H its window lets it in."""

from actors.contract import Reason as R
from tests.transcripts.stories.told import Told

AFTER = (
    "It looks again, from the start, and then the page is shared: the vCPU leaves to the VMM, which makes the range "
    "private again for it. The guest accepts what it touches."
)
RACED: dict[str, Told] = {
    "fault_while_frozen": Told(
        R.NONE,
        "",
        "The fault knows a folio that was private when it looked. Under mmu_lock it finds an invalidation of its "
        f"range in progress, installs nothing, and waits for its end. {AFTER}",
    ),
    "fault_after_thaw": Told(
        R.NONE,
        "",
        "The fault knows a folio that was private when it looked. Under mmu_lock no invalidation is in progress, "
        f"but the sequence is not the one that it began with: it installs nothing. {AFTER}",
    ),
}
WINDOW = (
    "INV_END (7) came before the store (9): it looks again with the new sequence, "
    "waits for ilock, and is told of the old side. So it installs a private leaf under a shared page (AN20): the "
    "window RW1."
)
RACED_IN_THE_WINDOW: dict[str, Told] = {
    "fault_while_frozen": Told(
        R.NONE,
        "AN20 I17",
        f"Under mmu_lock the fault finds an invalidation of its range in progress, and waits for its end. {WINDOW}",
    ),
    "fault_after_thaw": Told(
        R.NONE,
        "AN20 I17",
        f"Under mmu_lock the fault finds that the sequence has moved, and installs nothing. {WINDOW}",
    ),
}
