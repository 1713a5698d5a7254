"""What each check means, in a paragraph, and where it comes from: docs/domain.md sections 5 and 6 for people.

Sources: "mail" is the seed mail of 2025-06-05 that this simulator is about; [D] is derived here and claimed by nobody;
the rest is named in docs/domain.md section 15. A paragraph says what is judged, which may be less than the idea.
"""

from typing import NamedTuple


class Meaning(NamedTuple):
    """For people."""

    text: str
    source: str


MAIL = "mail"
INVARIANT = "docs/domain.md section 6"
D = "[D] docs/domain.md section 5"

MEANINGS: dict[str, Meaning] = {
    "AN1": Meaning(
        "The guest touches private memory that it has accepted and that no conversion has taken "
        "since, and finds its secure EPT entry gone or pending: access before acceptance, which "
        "ends the TD. It is what a partly undone conversion to shared leads to, once the guest "
        "goes on using the page as private.",
        f"{MAIL}: partial unmap, then the TD treats the page as accepted; the four-step scenario",
    ),
    "AN2": Meaning(
        "A device does DMA to shared memory whose conversion to private has failed, and meets "
        "no IOMMU mapping: some consumer unmapped it before another one refused. A mapping that "
        "is still missing once an ABORT was acknowledged is L4's besides.",
        f"{MAIL}: one user unmaps, the next one fails",
    ),
    "AN3": Meaning(
        "A refused conversion leaves a secure EPT entry that was mapped before in another "
        "state: blocked, or gone. The guest's contents are lost with it, for mapping it again "
        "makes it pending and zero.",
        f"{MAIL}, with the author's answer that no restore is attempted",
    ),
    "AN4": Meaning(
        "A refused conversion leaves pages with another shareability than they had, outside the "
        "prefix that it says is converted.",
        f"{MAIL}: first of the states that an undo may not restore",
    ),
    "AN5": Meaning(
        "Pages that had a folio have none in the filemap after a conversion, and were neither "
        "poisoned nor punched out: a folio could not be added again.",
        f"{MAIL}: second of those states; in RFC v2 a WARNING",
    ),
    "AN6": Meaning(
        "The metadata of a huge folio is set aside though the folio is whole or lost, or is "
        "missing though it is split. Judged where a protocol sets it aside at the split; one "
        "that takes it at allocation has nothing to lose.",
        f"{MAIL}: third of those states",
    ),
    "AN7": Meaning(
        "A refused conversion leaves folios of another order than it found, after the prefix "
        "that it says is converted.",
        f"{MAIL}: fourth of those states",
    ),
    "AN8": Meaning(
        "A refused conversion to private leaves shared pages out of the VMM's page tables that "
        "were in them. The next access brings them back at the cost of a fault.",
        f"{MAIL}: host page tables are not restored either",
    ),
    "AN9": Meaning(
        "guest_memfd holds its invalidate lock and waits for references to a folio to go, for "
        "longer than T_spin (1 s). When a failed unmap left the reference, nobody will ever "
        "drop it.",
        f"{MAIL}: conversion spins if guest_memfd is not informed",
    ),
    "AN10": Meaning(
        "Frames of a file that is closed do not go back to the allocator, and no list of "
        "poisoned pages has them, or another page of their folio: only a reference, or nothing at "
        "all, says why.",
        f"{MAIL}: the reference as the other marking; mails of June 2025",
    ),
    "AN11": Meaning(
        "The allocator hands out a frame that a secure EPT still maps, or that the PAMT still "
        "gives an owner: the next user's writes can machine-check the host.",
        f"{MAIL} step 5; teardown order, 2025-06-16",
    ),
    "AN12": Meaning(
        "A VMM retries one request more than R_max (1000) times and comes no further.",
        f"{MAIL}: userspace is not obliged to retry for ever",
    ),
    "AN13": Meaning(
        "An mmu_notifier caller that cannot bear failure gets an error from a failing callback.",
        f"{MAIL}: the audit of 34 callers",
    ),
    "AN14": Meaning(
        "The OOM reaper, which must not block, gets an error other than -EAGAIN.",
        f"{MAIL}: (1) and (2)",
    ),
    "AN15": Meaning(
        "A refused conversion leaves 2 MiB mappings split that it had split to prepare itself. "
        "Nothing promotes them again. One finding for each conversion.",
        "TDX huge pages v3: promotion is disallowed",
    ),
    "AN16": Meaning(
        "One MapGPA of the guest fails after some of its 2 MiB pieces have changed sides. No "
        "kernel protocol can mend that: it happens above.",
        "KVM's MapGPA loop",
    ),
    "AN17": Meaning(
        "Between KVM's READY and its COMMIT a fault installs a mapping in the range, or COMMIT "
        "meets a 2 MiB leaf that reaches out of the range and that PREPARE had not seen: what "
        "was prepared no longer holds.",
        D,
    ),
    "AN18": Meaning(
        "When the VMM answers, for the range that it answers about, its bitmap disagrees with "
        "guest_memfd, or a listener's devices do not see a page that is shared or still see one "
        "that is private.",
        "qemu system/ram-block-attributes.c",
    ),
    "AN19": Meaning(
        "A conversion reports success, and a part of its range does not have the wanted "
        "shareability.",
        "code of RFC v2 patch 04; claimed by nobody on the list",
    ),
    "AN20": Meaning(
        "A leaf of one kind goes in, or is there at the end of a conversion, where the "
        "attribute says the other kind. Leaves that a consumer said it could not unmap are "
        "I2's. In B2H it comes through the window RW1: a fault reads the old attribute with the "
        "new sequence.",
        "[D] from the public HugeTLB branch of December 2025",
    ),
    "AN21": Meaning(
        "A folio is split while KVM still maps it by a leaf larger than what it becomes, in a "
        "VM that lives.",
        "TDX huge pages v3, cover letter, issue (2)",
    ),
    "AN22": Meaning(
        "A refused conversion has converted a proper part of its range from the start on, and "
        "says so by its offset.",
        "code of the HugeTLB branch",
    ),
    "AN23": Meaning(
        "Somebody who has no part in a conversion waits more than T_stall (10 ms) for it: a "
        "fault outside the range for ilock, mmu_lock or the end of an invalidation by whole "
        "leaves, an invalidation of any VM for the IOMMU's queue. A figure rather than a bug.",
        D,
    ),
    "AN24": Meaning(
        "KVM_BUG_ON without a bug: a SEAMCALL was BUSY twice. If none was, I16 is broken too.",
        "the rule to retry once, cover letter of November 2024",
    ),
    "AN25": Meaning(
        "A conversion to private is refused for references that would all have gone by "
        "themselves: LRU batches, GUP-fast.",
        "threads of 2025-07 and 2026-01",
    ),
    "AN26": Meaning(
        "An operation wants a lock inside another one that was once taken inside it, or inside "
        "itself: two of its kind can wait for each other for ever.",
        "TODO of the in-place series v4: an attribute lookup that wants ilock under mmu_lock",
    ),
    "AN27": Meaning(
        "A device uses an IOMMU mapping that leads to a page which no longer backs its index: "
        "with two backends, a page of the shared side that the VMM has discarded since it was "
        "mapped.",
        "why QEMU has ram-block-attributes",
    ),
    "AN28": Meaning(
        "An IOTLB invalidation hangs, a SEAMCALL is BUSY twice, or a guest with trusted IO holds a page "
        "where nothing may fail any more: after the decision to commit or the point of no return, or in a step whose "
        "failure the conversion does not tell of.",
        "[D]; the VT-d wait loop has no timeout",
    ),
    "I1": Meaning(
        "When a conversion ends, its private pages are in no host page table, shared EPT or "
        "IOMMU domain; and none is put there later. References to private pages are not judged: "
        "whoever takes one is astray.",
        INVARIANT,
    ),
    "I2": Meaning(
        "When a conversion ends, its shared pages are in no secure EPT and in no mirror of one, and the "
        "PAMT gives their frames no owner.",
        INVARIANT,
    ),
    "I3": Meaning(
        "A frame of the host is in the secure EPT of one TD at most, and there at one gfn. An AUG that the "
        "TDX module refuses because the frame has an owner is a breach that it has prevented.",
        INVARIANT,
    ),
    "I4": Meaning(
        "A frame that goes back to the allocator, with its file or as a hole in it, is in no secure EPT, "
        "mirror, shared EPT, IOMMU domain or host page table, nobody has a pin on it, and the PAMT gives "
        "it no owner; and, devices aside, nobody maps or pins it until guest_memfd has it again.",
        INVARIANT,
    ),
    "I5": Meaning(
        "When a conversion ends, every page of its range has a folio in the filemap, or is "
        "poisoned; and what it has poisoned is out of the filemap if it has stored the rest.",
        INVARIANT,
    ),
    "I6": Meaning(
        "Folios of shared pages have order 0.",
        INVARIANT,
    ),
    "I7": Meaning(
        "A 2 MiB leaf lies over a folio of at least 2 MiB, all of it private; but for leaves "
        "that could not be unmapped. And none goes in over a smaller folio.",
        INVARIANT,
    ),
    "I8": Meaning(
        "As AN6: the metadata of a huge folio is set aside exactly while the folio is split.",
        INVARIANT,
    ),
    "I9": Meaning(
        "References add up: nobody drops a pin that was not taken, or takes one while the count "
        "is frozen (from the READY of the pins to ABORT, or to the store); none is after ABORT; "
        "the counts that guest_memfd reads after an unmap are those of the books; and a folio of "
        "the range in hand is split or merged only at the filemap's own count. Counted are pins, references that a bug "
        "left, host PTEs, and device mappings where these hold pins; not short references, which "
        "are over before anybody goes on.",
        INVARIANT,
    ),
    "I10": Meaning(
        "After a refusal shareability, folio orders and stash are as before, from the reported "
        "prefix on. And the offset is right: the page that a consumer has named, one that is "
        "poisoned, one that could not be unmapped, else the first that is not converted.",
        INVARIANT,
    ),
    "I11": Meaning(
        "After a refusal every secure EPT entry that was mapped is mapped.",
        INVARIANT,
    ),
    "I12": Meaning(
        "After the decision to commit, or the point of no return, nothing fails but for a bug "
        "(F6): no consumer refuses, no hardware does without a cause (with one it is AN28: a fault point, a "
        "second BUSY by others' locks, a queue that others held up for as long as its driver waits, a page "
        "that a guest with trusted IO has accepted), and no SEAMCALL fails that "
        "neither a fault point nor a held lock explains. A refusal is L3's "
        "besides, which no protocol admits. So KVM does not say READY with a leaf in the range "
        "that it could not unmap before, nor with an entry blocked in what is frozen.",
        INVARIANT,
    ),
    "I13": Meaning(
        "When a conversion ends, accepted pages in and around its range are mapped.",
        INVARIANT,
    ),
    "I14": Meaning(
        "An invalidation is over when its conversion is, a hole's and an mmu_notifier's by the end "
        "of the run; while it lasts the conversion changes folios in its range alone; and a fault "
        "waits only where somebody's covers it.",
        INVARIANT,
    ),
    "I15": Meaning(
        "An operation takes locks from the outside in: ilock, then mmu_lock; never one that it "
        "holds. Invalidations begin and end with mmu_lock held for writing, and a file's frames go "
        "back with its ilock held.",
        INVARIANT,
    ),
    "I16": Meaning(
        "PAGE.REMOVE and PAGE.DEMOTE succeed only when a TRACK came after the last BLOCK and "
        "every vCPU has been out since; no SEAMCALL is refused that neither a fault point nor a "
        "held lock explains (a caller that forgets TRACK is). And a page becomes private only once "
        "the TLBs were flushed of its shared leaf, and the wait for its IOTLB invalidation is over, "
        "before which its driver does not say that it has let go; shared, or a hole, only once "
        "PHYMEM.PAGE.WBINVD has written its caches back. A SEAMCALL that has met BUSY is "
        "tried again with all vCPUs kept out, and none of them is in the guest meanwhile. Nobody says no, or "
        "bugs the VM, for a BUSY that its retry has not met (by a fault point's doing or another's lock), and "
        "after such a second BUSY no vCPU may enter before the leaf is unblocked.",
        INVARIANT,
    ),
    "I17": Meaning(
        "A leaf goes in only where the attribute says its kind at that moment; and, unless the "
        "protocol is made otherwise, the attribute is stored before the invalidation ends, so "
        "that no fault can look the old one up in between.",
        INVARIANT,
    ),
    "I18": Meaning(
        "Callbacks to callers that cannot fail, and to exit paths, never return an error.",
        INVARIANT,
    ),
    "I19": Meaning(
        "A poisoned page, or one whose memory has failed, is never mapped, stored, or given "
        "back again. And whatever a consumer has said that it could not unmap is out of use when "
        "the conversion ends, by poison or by a reference that stays: the pages, or all of their "
        "folio where the mark is the folio's (in a huge folio some marks are lost).",
        INVARIANT,
    ),
    "I20": Meaning(
        "The PAMT's owner of a frame is the TD whose secure EPT has it, and nobody once it is removed. "
        "The dynamic PAMT count of a 2 MiB region of host memory is the number of the 4 KiB "
        "leaves that secure EPTs have there, 0 under a leaf of 2 MiB; and the region has its "
        "pair of metadata pages exactly while the count is above 0. Counts are judged with "
        "fleet.pamt = dynamic, whenever one changes and when a conversion ends. With any PAMT: "
        "what a conversion has had of the host's pool is in use when it ends (page tables, PAMT "
        "pages, a split folio's metadata), or has gone back, once; no VM gives back more pages than "
        "it has had, for whatever; and no more descriptors of the IOMMU's queue are taken than "
        "conversions are under way that may have one.",
        INVARIANT,
    ),
    "I21": Meaning(
        "At rest the VMM's bitmap, shareability and the devices' mappings agree; rest is when "
        "the VMM answers, for the range that it answers about. What a listener's devices do not see, or "
        "see still, because a fault point struck its map or unmap, or the queue was held up, is AN18's alone. "
        "Where nobody tells devices (vmm.listeners = 0) they see all of the shared file, always.",
        INVARIANT,
    ),
    "I22": Meaning(
        "Success means that the whole range has the wanted shareability.",
        INVARIANT,
    ),
    "I23": Meaning(
        "ABORT asks for no memory, by the allocator's word: neither guest_memfd after its "
        "decision nor a consumer that has answered PREPARE. And no SEAMCALL of its fails: KVM "
        "has unblocked its leaves before it says READY or no.",
        INVARIANT,
    ),
    "I24": Meaning(
        "Where VMs arrive, a request is placed once: what hosts tell the controller never puts one "
        "VM of the fleet on two places at a time.",
        INVARIANT,
    ),
    "I25": Meaning(
        "Where VMs arrive, no host has more VMs that boot at once than arrivals.boots.",
        INVARIANT,
    ),
    "I26": Meaning(
        "A VMM exits or is killed: exit_mmap() (N8 of the no-fail callers) comes once its "
        "conversions are over. After a kill none begins later, and its files are closed last.",
        INVARIANT,
    ),
    "I27": Meaning(
        "Where VMs move, no vCPU of a VM does anything from when it was stopped to move until its host "
        "lets it run again. And by what the hosts tell the controller it runs at the target only once all of "
        "it is there, and at the source again only once the target has given it up, or before it was sent.",
        INVARIANT,
    ),
    "I28": Meaning(
        "Where VMs move, the files of a VM that has been stopped to move are not closed before its host has "
        "heard that the other one runs it, unless a failure has ended it meanwhile.",
        INVARIANT,
    ),
    "I29": Meaning(
        "Where VMs move, what is shared when a VM leaves is what its image says, and when it runs at the target "
        "the same is shared there, and the same accepted: by the books of either host, of its own facts.",
        INVARIANT,
    ),
    "L1": Meaning(
        "Every conversion is answered by the end of the run. How long it may take is not "
        "judged; latency shows it.",
        INVARIANT,
    ),
    "L2": Meaning(
        "No lock is held for ever: ilock not by a wait for references beyond T_spin, mmu_lock "
        "not for 20 s (where the kernel's watchdog would bark), none at the end of the run; nor are vCPUs "
        "kept out of the guest for a retry that is long over. "
        "Cycles of waits are AN26's.",
        INVARIANT,
    ),
    "L3": Meaning(
        "Every READY meets exactly one COMMIT or ABORT: not none, not a second COMMIT, no COMMIT "
        "after an ABORT or a no, and no second answer to one PREPARE.",
        INVARIANT,
    ),
    "L4": Meaning(
        "After an ABORT in a VM that lives, shareability, folios, stash and mapped or pending "
        "secure EPT entries are as before. So are the host's page table entries and those of the "
        "IOMMU, at consumers that were told to abort or have refused, when they unmapped early; "
        "others' host entries may be gone where a fault brings them back.",
        INVARIANT,
    ),
    "L5": Meaning(
        "A fault that waits for an invalidation to end goes on: not more than R_max (1000) "
        "waits, and none at the end of the run while its VM lives; nor does anybody wait then for "
        "a reference that frozen counts have kept from him.",
        INVARIANT,
    ),
    "L6": Meaning(
        "When an access gets through, the module's list for zero-step mitigation is empty, and "
        "no access enters more than 1000 times without progress.",
        INVARIANT,
    ),
    "L7": Meaning(
        "A conversion is refused for long-lived references only while somebody has one on a page "
        "that changes sides: a VMM that retries ends once pins are dropped. And the answer's error_offset is "
        "of the page or leaf that refused: pinned, mapped by a device, cut through by the range, or the one "
        "whose SEAMCALL failed. Of a consumer that does not answer nobody knows where it stands.",
        INVARIANT,
    ),
    "L8": Meaning(
        "A conversion that was refused memory ends before its VMM does: nobody is killed for "
        "memory with ilock held.",
        INVARIANT,
    ),
    "L9": Meaning(
        "Where VMs arrive, every request is placed or turned away by the end of the run, or is in "
        "the controller's queue: none is with a host that never answers, or forgotten after a no.",
        INVARIANT,
    ),
    "L10": Meaning(
        "Where VMs move, every move that has begun ends, one way or the other, by the end of the run.",
        INVARIANT,
    ),
    "L11": Meaning(
        "Where VMs move, nothing is left where a VM does not live: every page that the source had, or the target of a "
        "move that failed, has gone back or is kept for a failure that was told of, and the host's agent has the place "
        "again, by the end of the run and by the facts of that host.",
        INVARIANT,
    ),
    "L12": Meaning(
        "At every lock that queues, the IOMMU's queue, the AUGs of a TD, the requests of a VMM and the "
        "controller's queue the integral of the number inside, by when customers were seen to come and go, equals "
        "the sum of their times, by what their actors say of each, to the nanosecond; so for those who wait. "
        "Whoever is still inside at the end is in the actor's state, since the time that is missing.",
        INVARIANT,
    ),
}
