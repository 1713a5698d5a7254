"""What the seed mail and later sources claim of conversion protocols, each with a scenario that shows it by itself.

docs/claims.md is this table with the figures of real runs (workloads/claims_page.py); tests hold every row.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from workloads.checkers.admitted import B1, B2, B2H, C0, CR, A, B, C

EVERY = (A, B, B1, B2, B2H, C, CR, C0)
UNDOING = (B, B1)
MAIL = "seed mail, 2025-06-05"
NO_SPLIT = "its folios and mappings are small, so nothing is split"
LATE = "folios change after the decision, from what was set aside before it"
NO_LIST = "it makes no list of ranges"
NO_ERROR = "its notifiers cannot fail"
OVERALL = "claims"
"""The scenario that shows all anomalies at once."""


class Claim(NamedTuple):
    """One claim. `shows`: anomaly -> the protocols that show it in this scenario, and no other does; {}: none at all.

    It is about the scenario's first fault. `unmet`: protocols that the fault cannot strike, and why; what they do not
    show says nothing of them but that. The scenario's other faults have them fail, too.
    """

    scenario: str
    says: str
    where: str
    shows: Mapping[str, tuple[str, ...]]
    two_phase: str
    unmet: Mapping[str, str] = MappingProxyType({})

    @property
    def compared(self) -> tuple[str, ...]:
        """The first protocol it is claimed of, and two-phase."""
        first = next(iter(self.shows.values()), EVERY)[0]
        return tuple(dict.fromkeys((first, C)))


CLAIMS = (
    Claim(
        "claim-access-before-acceptance",
        "A conversion to shared that fails after a part was unmapped leaves the guest with private memory that "
        "it has accepted and that "
        "is mapped no more. Its next access is fatal.",
        f"{MAIL}: the four steps from MapGPA to the access",
        {"AN1": (A, B, B1, B2H), "AN3": (A, B, B1, B2H)},
        "What may fail is asked for before anything is unmapped, so the refusal comes while the page tables are "
        "whole.",
        {B2: NO_SPLIT},
    ),
    Claim(
        "claim-dmar-fault",
        "After a failed conversion to private the memory is shared, its devices' mappings are gone, and DMA faults.",
        f"{MAIL}: mappings of A and B that cannot be restored",
        {"AN2": (A, B, B1)},
        "With `check-only` the IOMMU unmaps after the decision; with `protocol.iommu_prepare=unmap-early` before it.",
    ),
    Claim(
        "claim-sept-not-restored",
        "The secure EPT is not put back when a conversion fails; a later fault brings a page, but not one that "
        "is accepted.",
        f"{MAIL}: not restoring is a problem for the S-EPT",
        {"AN3": (A, B, B1)},
        "The tree node is reserved in the first step. In-place reserves it first, too.",
    ),
    Claim(
        "claim-shareability-not-restored",
        "An undo can itself fail: shareability stays as the failed conversion stored it.",
        f"{MAIL}: first of four states that patch 38 may not restore",
        {"AN4": UNDOING},
        "Shareability is stored once nothing can fail any more, and from memory set aside before. There is "
        "nothing to undo.",
        {B2: NO_SPLIT},
    ),
    Claim(
        "claim-filemap-not-restored",
        "An undo can itself fail: a folio is out of the filemap and nothing puts it back.",
        f"{MAIL}: second of the four",
        {"AN5": UNDOING},
        "Page-cache nodes are reserved in the first step; folios change after the decision.",
        {B2: NO_SPLIT, **dict.fromkeys((C, CR, C0), LATE)},
    ),
    Claim(
        "claim-stash-not-restored",
        "An undo can itself fail: the hugetlb metadata that was set aside does not go back.",
        f"{MAIL}: third of the four",
        {"AN6": UNDOING},
        "The record is reserved with the rest; a refused conversion has not touched it.",
        {B2: NO_SPLIT, **dict.fromkeys((C, CR, C0), LATE)},
    ),
    Claim(
        "claim-merge-not-restored",
        "An undo can itself fail: a folio stays merged (or split), which it was not before.",
        f"{MAIL}: fourth of the four",
        {"AN7": UNDOING, "AN4": UNDOING},
        "Folios change after the decision alone.",
        {B2: NO_SPLIT, **dict.fromkeys((C, CR, C0), LATE)},
    ),
    Claim(
        "claim-host-page-table",
        "The host page table is not restored when a conversion to private is refused.",
        f"{MAIL}: nor is the host page table",
        {"AN8": (A, B, B1, B2, B2H)},
        "References are looked at in PREPARE; host entries go in COMMIT. With `protocol.host_unmap=early-saved` "
        "they go before, and are back when ABORT is acknowledged.",
    ),
    Claim(
        "claim-spin",
        "If guest_memfd is not told of a page that could not be unmapped, a conversion waits for its reference "
        "for ever.",
        f"{MAIL}: it will spin while it removes the folio",
        {"AN9": (B, CR)},
        "The poison callback tells it. The conversion fails with EFAULT, the VM is lost, the page is never used "
        "again. By a "
        "reference instead of the callback (`two-phase-refcount`) it spins as well.",
    ),
    Claim(
        "claim-leaked-page",
        "A reference keeps the page from being used again, and nobody can tell it from any other reference: "
        "once the file is closed "
        "it is lost without a name.",
        f"{MAIL}: step 4, the reference as the other marking; mails of 2025-06-16 and 17",
        {"AN10": (A, B, B1, CR)},
        "The page is lost as well, but guest_memfd's list of poisoned pages has its name.",
    ),
    Claim(
        "claim-page-reused",
        "A page that could not be unmapped must not be reallocated while the secure EPT has it.",
        f"{MAIL}: step 5; teardown order, 2025-06-16",
        {"AN11": (A, B, B2, B2H, C0)},
        "A poisoned page never goes back. `failable-notifier` and `undo` give it away on the second host, where "
        "nothing marks it.",
    ),
    Claim(
        "claim-td-pinned",
        "With trusted IO the host cannot block a page that the guest has not released. An unmap that must not "
        "fail meets one where a driver has left it out.",
        "mails on trusted IO, 2025-07-18 and 21; docs/domain.md section 2.4. How a kernel would look first is ours",
        {"AN28": (B, B1, B2, B2H)},
        "KVM looks in PREPARE, where the page is an unexpected reference: EAGAIN with its offset, nothing is "
        "unmapped, and the guest releases it. `failable-notifier` refuses as well, half way through.",
    ),
    Claim(
        "claim-no-fail-caller",
        "Callers of mmu_notifiers that have no way to bear a failure meet one if notifiers may fail.",
        f"{MAIL}: the audit of 34 callers and of KVM's own",
        {"AN13": (A,)},
        "Notifiers of the mm do not fail. Only guest_memfd's own PREPARE may be refused, as one is here.",
        {name: NO_ERROR for name in EVERY if name != A},
    ),
    Claim(
        "claim-oom-reaper",
        "The OOM reaper bears -EAGAIN alone and warns of anything else.",
        f"{MAIL}: the one caller of the non-blocking variant",
        {"AN14": (A,)},
        "As above.",
        {name: NO_ERROR for name in EVERY if name != A},
    ),
    Claim(
        "claim-retry-for-ever",
        "Userspace cannot be relied on to try until it works; so a failed conversion has to leave everything as "
        "it was.",
        f"{MAIL}: on unexpected references",
        {"AN12": EVERY},
        "It has this too, for no protocol can drop somebody else's pin. There is no damage: each refusal leaves "
        "all as it was.",
    ),
    Claim(
        "claim-false-success",
        "The call says 0 and a part of the range is not converted, when there is no memory for the list of ranges.",
        "code of RFC v2 patch 04; docs/domain.md section 4.B",
        {"AN19": UNDOING},
        "It has no such list; a reservation that fails is an ENOMEM.",
        {name: NO_LIST for name in EVERY if name not in UNDOING},
    ),
    Claim(
        "claim-window-rw1",
        "The invalidation ends before shareability is stored. A fault between the two reads the old attribute, waits "
        "for the lock, finds its sequence current, and installs a mapping of the side that was given up.",
        "code of the HugeTLB branch; docs/domain.md section 4.B2H, race window RW1",
        {"AN20": (B2H,)},
        "The store comes before the end of the invalidation, so whoever finds the sequence current has read the new "
        "attribute. `in-place-huge` with `protocol.store_first=true` does not show it either.",
    ),
    Claim(
        "claim-backend-split",
        "The backing folio is split while KVM still maps it whole.",
        "TDX huge pages v3, cover letter; docs/domain.md section 0, 2026-01-06",
        {"AN21": (B2H,)},
        "Folios are split after COMMIT has unmapped them. `in-place-huge` shows it without its fix-up "
        "(`protocol.zap_first=no`) alone.",
        {B2: NO_SPLIT},
    ),
    Claim(
        "claim-partial-prefix",
        "A conversion that fails at its second huge page has converted the first.",
        "code of the HugeTLB branch; docs/domain.md section 4.B2H",
        {"AN22": (B2H,)},
        "One decision for the whole range.",
        {B2: NO_SPLIT},
    ),
    Claim(
        "claim-partial-mapgpa",
        "One MapGPA is several conversions; when a later one fails the earlier ones stay.",
        "KVM's MapGPA loop; docs/domain.md section 2.6",
        {"AN16": EVERY},
        "It has this too: the pieces are cut above guest_memfd.",
    ),
    Claim(
        "claim-aborted-prepare",
        "A prepare that is aborted has split a 2 MiB mapping, which nothing promotes again.",
        "TDX huge pages v3: promotion is disallowed; docs/domain.md section 3.1",
        {"AN15": (A, B1, B2H, C, CR, C0)},
        "This is its price.",
        {B2: NO_SPLIT},
    ),
    Claim(
        "claim-file-by-file",
        "An inode is open in several VMs. Who goes over their files one by one, splitting and zapping each, has "
        "zapped the first one when the second one cannot split.",
        "sketch of June 2025, `protocol.per_file`; docs/domain.md section 4.B1",
        {"AN3": (A, B1)},
        "Every file's KVM is asked before any of them unmaps. So it is with all files split first, "
        "`protocol.per_file=false`, as in the series of August 2025.",
        {B2: NO_SPLIT},
    ),
    Claim(
        "claim-killed",
        "A VMM can die at any instant of a conversion, and exit_mmap() cannot fail. What the conversion has begun "
        "has to end before the address space goes.",
        f"{MAIL}: exit_mmap() among the cases that cannot fail; docs/domain.md section 4.x",
        {},
        "The thread in the ioctl holds the mm and the files: it comes to its decision, commits or aborts, and its "
        "answer goes nowhere. So it is with every protocol; all frames go back.",
    ),
)

NOT_SHOWN: Mapping[tuple[str, str], str] = {
    ("AN1", B2): "a bug in COMMIT ends the VM at that instant, so no guest lives to use the memory",
    (
        "AN3",
        B2,
    ): "a bug in COMMIT ends the VM, and the ioctl reports success: there is no refusal to judge",
}
"""Cells of docs/domain.md section 5 that say Y or b and that the scenario `claims` does not show; and why."""
