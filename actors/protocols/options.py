"""Parameters of the protocols and switches for defects found by reading code (docs/domain.md sections 4 and 14)."""

import msgspec

from actors.contract import Consumer, Trace
from actors.protocols.marks import MARKS, Mark


class Options(msgspec.Struct, frozen=True, array_like=True):
    """What a conversion's requests carry and which variant of a table is taken. Booleans are off unless said."""

    freeze_at: str = "prepare"  # or "commit": faults race with what PREPARE split
    host_unmap: str = "late"  # or "early-saved": in PREPARE, with a list to map again from
    iommu_prepare: str = "check-only"  # or "unmap-early"
    on_poison: str = "bail"  # or "proceed-rest"
    prepare_busy: str = (
        "refuse"  # or "bug": KVM_BUG_ON for BUSY twice, or INTERRUPTED, while splitting
    )
    post_commit_check: str = "none"  # or "fail-efault": look for references that a bug left
    on_error: str = "leave"  # or "remap": the failable notifier asks who has unmapped to map again
    mark: str = "callback"  # how a page that cannot be unmapped is marked: a key of MARKS
    bug_on: bool = True  # such a page is KVM_BUG_ON
    swallow_enomem: bool = True  # RFC v2: an inner variable hides that the list could not be made
    store_first: bool = False  # in-place-huge: store before INV_END, which closes the window RW1
    zap_first: bool = True  # in-place-huge: the fix-up that zaps before the folio is split
    zap_whole: bool = False  # a boundary leaf that cannot be split is zapped as a whole
    stash: str = "at-split"  # or "at-allocation": when a huge folio's metadata is set aside
    waits: bool = (
        True  # for a short reference, within the freeze budget; or one look after the LRU drain
    )
    prefix: bool = False  # an error leaves a converted prefix, and says where it ends
    uniform_split: bool = False  # a 1 GiB folio is split into 4 KiB ones at once, as RFC v2 does

    @property
    def files(self) -> int:
        """How many files the inode has; see FileOptions."""
        return 1

    @property
    def per_file(self) -> bool:
        """Undo, split first: split and zap file by file, which is the same where there is one."""
        return False

    @property
    def early(self) -> tuple[Consumer, ...]:
        """Who unmaps in PREPARE already."""
        if self.host_unmap == "late" and self.iommu_prepare == "check-only":
            return ()
        host = (Consumer.HOST_MAP,) if self.host_unmap == "early-saved" else ()
        return (*host, Consumer.IOMMU) if self.iommu_prepare == "unmap-early" else host

    @property
    def trace(self) -> Trace:
        """`mark` as consumers are told."""
        return MARKS[self.mark].trace

    @property
    def marking(self) -> Mark:
        """`mark` as guest_memfd reads it."""
        return MARKS[self.mark]


class FileOptions(Options, frozen=True, array_like=True):
    """The same of an inode that several VMs have open."""

    files: int = 2
    per_file: bool = False
