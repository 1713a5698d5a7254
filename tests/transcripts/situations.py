"""The situations of the golden transcripts: each arranges a host and leaves one request to be written down.

The docstring becomes the head of the transcript's file.
"""

from collections.abc import Callable

from actors import messages as m
from actors.address import GMEM
from actors.contract import Consumer, Context, Reason
from actors.gmem import Gmem
from tests.helpers import PRIVATE, SHARED, World

FOREVER = 10**15  # ns
START, END = 0x10, 0x14  # four pages in the middle of a leaf of 2 MiB


def host(*overrides: str) -> World:
    """One VM of 8 MiB, mapped by leaves of 2 MiB. Every unit of work takes 1 us, a link 0.2 us."""
    return World(*overrides, each=1000)


def shared_host() -> World:
    """The same, with the range shared and in use by the guest, the VMM and the devices."""
    world = host()
    world.ask(START, END, SHARED, use=True)
    world.run()
    assert world.tasks == [(1, Reason.NONE)]
    return world


def to_shared() -> World:
    """Private to shared, four pages of a 2 MiB leaf: all agree.

    KVM splits the boundary leaf while it is asked (BLOCK, TRACK, kick, DEMOTE) and unmaps the pages once all have
    agreed (BLOCK, TRACK, kick, REMOVE). The attribute is stored after the last acknowledgement and before the thaw.
    """
    world = host()
    world.request(START, END, SHARED)
    return world


def to_private() -> World:
    """Shared to private, the same four pages: all agree.

    Nothing has to be split. Host page tables, shared EPT and IOMMU are unmapped in COMMIT; the folio is merged
    again, because all of its 2 MiB are private now. The guest would accept the pages next.
    """
    world = shared_host()
    world.request(START, END, PRIVATE)
    return world


def refused_no_memory_by_guest_memfd() -> World:
    """The pool is empty: guest_memfd cannot reserve what it will need, and nobody else is asked."""
    world = host()
    world.allocator().free = 0
    world.request(START, END, SHARED)
    return world


def refused_no_memory_by_kvm() -> World:
    """The pool serves guest_memfd's own need and not the tables of KVM's split: NO(F1), ENOMEM.

    The others have said READY; each is told to ABORT and acknowledges.
    """
    world = host()
    world.allocator().free = 9 + 3
    world.request(START, END, SHARED)
    return world


def refused_references() -> World:
    """A device holds the third page: NO(F2), EAGAIN with the page's offset.

    This VMM reports it to the guest; a cooperative one would make the device let go and try again.
    """
    world = shared_host()
    world.pins().held = {1: (START + 2, START + 3)}
    world.request(START, END, PRIVATE)
    return world


def refused_busy() -> World:
    """Another host operation holds the S-EPT tree lock: BLOCK is BUSY, and so is the one retry.

    All vCPUs are kicked out before it. NO(F3), EBUSY. Nothing was blocked, so nothing has to be unblocked; the pages
    for the split go back.
    """
    world = host()
    world.td().tree_exclusive_until = FOREVER
    world.request(START, END, SHARED)
    return world


def refused_interrupted() -> World:
    """An old TDX module interrupts DEMOTE: NO(F4), EINTR.

    By then the leaf is blocked. KVM puts it back (TRACK, kick, UNBLOCK), still under mmu_lock, and refuses after that.
    """
    world = host()
    world.inject("tdx.interrupted")
    world.request(START, END, SHARED)
    return world


def refused_timeout() -> World:
    """The invalidation queue is stuck behind another VM's request: NO(F5), ETIMEDOUT.

    The IOMMU driver looks at its queue before it promises anything, so nothing is unmapped yet.
    """
    world = shared_host()
    world.iommu().free_at = FOREVER
    world.request(START, END, PRIVATE)
    return world


def refused_poisoned() -> World:
    """A page of the range was poisoned by an earlier conversion: EHWPOISON, and nobody is asked."""
    world = host()
    world.gmem().poison.set(START + 1, START + 2, 1)
    world.request(START, END, SHARED)
    return world


def refused_dead() -> World:
    """The VM is bugged already when KVM is asked: NO, EIO. The VMM stops the VM and frees its memory."""
    world = host()
    world.kvm().dead = True
    world.request(START, END, SHARED)
    return world


def commit_bug() -> World:
    """The commit bug: PAGE.REMOVE fails on the third page, after everybody has agreed. Step 4 of the mail.

    KVM cannot refuse any more. It bugs the VM and tells guest_memfd by the poison callback which page is still mapped.
    guest_memfd stores nothing, remembers the page, and answers EFAULT. The VMM stops the VM; after teardown every frame
    is freed but the poisoned one.
    """
    world = host()
    world.request(START, END, SHARED)
    world.inject("tdx.bug", nth=(3,))
    return world


def prepare_timeout() -> World:
    """KVM's READY gets lost. After the PREPARE timeout silence is a no: ABORT goes to everybody, ETIMEDOUT.

    The boundary leaf stays split (AN15): nothing promotes it again.
    """
    world = host("protocol.prepare_timeout=1ms")
    world.request(START, END, SHARED)

    def on_ready(gmem: Gmem, message: m.Ready, context: Context) -> None:
        if message.consumer is not Consumer.KVM_MMU:
            Gmem.HANDLERS[m.Ready](gmem, message, context)

    world.replace(GMEM, m.Ready, on_ready)
    return world


SITUATIONS: dict[str, Callable[[], World]] = {
    situation.__name__: situation
    for situation in (
        to_shared,
        to_private,
        refused_no_memory_by_guest_memfd,
        refused_no_memory_by_kvm,
        refused_references,
        refused_busy,
        refused_interrupted,
        refused_timeout,
        refused_poisoned,
        refused_dead,
        commit_bug,
        prepare_timeout,
    )
}
