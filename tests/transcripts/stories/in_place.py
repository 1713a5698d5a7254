"""What becomes of each situation under B2, in the steps of actors/protocols/in_place.py."""

from actors.contract import Reason as R
from tests.transcripts.stories.raced import RACED
from tests.transcripts.stories.told import Told

# fmt: off
IN_PLACE: dict[str, Told] = {
    **RACED,
    "to_shared": Told(R.NONE, "",
        "Tree nodes come first (3); then the point of no return: KVM zaps the pages (5). The store (6) comes before "
        "the end of the invalidation (7). Folios are small from the start: nothing is split."),
    "to_private": Told(R.NONE, "",
        "Tree nodes (3); then the host's page tables are cleared and the references looked at (4). After the point "
        "of no return KVM's shared leaves and the devices' mapping go (5). Store (6), end of the invalidation (7). "
        "The guest would accept the pages next."),
    "already_shared": Told(R.NONE, "",
        "Success, and nothing is done (2)."),
    "several_ranges": Told(R.NONE, "",
        "The protocol keeps no list: the whole range is zapped and stored as one."),
    "several_ranges_to_private": Told(R.NONE, "",
        "The protocol keeps no list: the whole range is unmapped, looked at and stored as one."),
    "file_closed": Told(R.DEAD, "",
        "EIO, and nothing was begun (1)."),
    **dict.fromkeys((
        "pool_empty", "no_tree_nodes"),
        Told(R.NO_MEMORY, "",
        "ENOMEM before anything was begun (3).")),
    **dict.fromkeys((
        "pool_empty_to_private", "no_tree_nodes_to_private"),
        Told(R.NO_MEMORY, "",
        "ENOMEM before anything was begun (3): the host's page tables are as they were.")),
    "busy_once": Told(R.NONE, "",
        "There is no leaf to split; BLOCK of the pages is BUSY once (5). KVM kicks all vCPUs out, and the one retry "
        "succeeds."),
    "track_busy_twice": Told(R.DEAD, "AN24 AN28",
        "There is no leaf to split; so it is past the point of no return that TRACK is BUSY twice (5): KVM_BUG_ON by "
        "contention alone (AN24, AN28). guest_memfd stores as if nothing had happened (6)."),
    "remove_busy_once": Told(R.NONE, "",
        "KVM kicks all vCPUs out, tries the page once more, and goes on with the rest (5)."),
    "page_poisoned": Told(R.POISONED, "",
        "EHWPOISON, and nothing was begun (1)."),
    "busy_twice": Told(R.DEAD, "AN24 AN28",
        "There is no leaf to split; so it is past the point of no return that BLOCK is BUSY twice (5): KVM_BUG_ON "
        "by contention alone (AN24, AN28). guest_memfd stores as if nothing had happened (6). The VMM stops the VM; "
        "teardown removes the entries before the frames go back."),
    "guest_holds_page": Told(R.DEAD, "AN28",
        "Nobody has looked. Past the point of no return BLOCK cannot have the third page (5): KVM_BUG_ON, and the "
        "rest is zapped (AN28). guest_memfd is told nothing and stores (6). The VMM stops the VM."),
    "page_pinned": Told(R.REFERENCES, "AN8",
        "The host's page tables are cleared before the look (4): EAGAIN with the page. Their PTEs are all that is "
        "missing afterwards (AN8); the IOMMU driver gives its descriptor back."),
    "stray_reference": Told(R.NONE, "",
        "Nobody looks at the references of a private page, and with small folios nobody waits for them either: "
        "success while somebody holds the page."),
    "lru_reference": Told(R.NONE, "",
        "The per-CPU LRU batches are drained, once (4), and the reference is gone: success."),
    **dict.fromkeys((
        "brief_reference", "brief_reference_too_long"),
        Told(R.REFERENCES, "AN25 AN8",
        "The per-CPU LRU batches are drained, once (4); the reference outlasts that: EAGAIN, for nothing that stays "
        "(AN25), and the host's PTEs are gone (AN8).")),
    "queue_full": Told(R.NO_MEMORY, "AN8",
        "The IOMMU driver refuses (4), after the host's page tables were cleared (AN8). Its own mapping is as "
        "before."),
    "queue_stuck": Told(R.TIMEOUT, "AN8",
        "The IOMMU driver looks at its queue and refuses (4), after the host's page tables were cleared (AN8). Its "
        "own mapping is as before."),
    "two_refusals_to_private": Told(R.NO_MEMORY, "AN8",
        "The no that comes first decides (4), with the host's page tables cleared (AN8). The other one comes when "
        "its consumer is told already to take back what it may have said."),
    "remove_bug": Told(R.DEAD, "AN11 I4",
        "Past the point of no return (5): KVM_BUG_ON, the rest of the range is zapped, and that is all. guest_memfd "
        "is told nothing and stores (6). With the file the page goes back, and the host gives it to somebody else "
        "while the S-EPT maps it (AN11)."),
    "remove_busy_twice": Told(R.DEAD, "AN24 AN28",
        "Past the point of no return (5): KVM_BUG_ON by contention alone (AN24, AN28), and the rest of the range is "
        "zapped. guest_memfd is told nothing and stores (6). Teardown removes the entry before the frames go back."),
    "kvm_dies": Told(R.DEAD, "",
        "SEAMCALLs work for a TD whose VM is bugged: its leaves are zapped as ever (5), and guest_memfd "
        "stores (6). The VMM has stopped the VM meanwhile, and answers EIO."),
    "kvm_dies_to_private": Told(R.NONE, "",
        "Shared leaves need no SEAMCALL: they are zapped as ever (5), and the ioctl succeeds for a VM that is dead."),
    "iotlb_hangs": Told(R.NONE, "AN28",
        "Past the point of no return (5): the VM is bugged for a device's sake (AN28). guest_memfd is told nothing "
        "and stores (6). Until the VMM is gone and its domain is flushed, a device may write to what is private now."),
    "devices_pin": Told(R.NONE, "AN8",
        "The IOMMU driver is asked with the references and says no with EAGAIN: its mapping is a pin (4). The host's "
        "PTEs are gone (AN8). The VMM unmaps each page that is refused and asks again, and then nothing is in the "
        "way."),
    "devices_not_mapped_again": Told(R.REFERENCES, "AN18 AN8",
        "The VMM unmaps the range from its devices before it asks. EAGAIN for somebody else's pin (4), with the "
        "host's PTEs gone (AN8). The VMM has no memory to map the range again: shared, and not mapped for devices "
        "(AN18)."),
    "devices_not_mapped": Told(R.NO_MEMORY, "AN18",
        "The attribute is stored and the ioctl has returned; then the VMM cannot map the range for its devices. "
        "Guest and VMM hold it for shared, the devices do not see it, and nobody takes anything back (AN18)."),
    "devices_gone": Told(R.DEAD, "",
        "The attribute is stored and the ioctl has returned; the mapping for the devices is EIO, for their domain "
        "is gone already."),
}
# fmt: on
