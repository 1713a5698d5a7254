"""The reference witness traces of docs/domain.md section 13: each arranges a world and posts what is to happen.

The docstring is the head of the trace's file: what happens, and what it has to show.
"""

from collections.abc import Callable

from actors import messages as m
from actors.address import GUEST, IOMMU, LOAD, vm_address
from actors.contract import Consumer, Context, Message, Reason
from tests.helpers import PRIVATE, SHARED, World
from tests.transcripts.causes import FOREVER, Arrange, pin, shared_before, strike

MIB_2 = 0x200  # pages
SECOND = 10**9  # ns


def host(protocol: str, *overrides: str) -> World:
    """One VM of 8 MiB, mapped by leaves of 2 MiB. A unit of work takes 1 us, a link 0.2 us."""
    return World(f"protocol.name={protocol}", *overrides, each=1000)


def used(world: World, start: int, end: int) -> World:
    """The range is shared, and in use by guest, VMM and devices."""
    world.ask(start, end, SHARED, use=True)
    world.run()
    assert world.tasks == [(1, Reason.NONE)]
    return world


def refuses(request: type[Message], reason: Reason, after: int) -> Arrange:
    """The IOMMU driver says no to this request, so many ns later, whatever the direction."""

    def on_request(_: object, message: m.Prepare | m.Invalidate, context: Context) -> None:
        no = m.Refused(message.op, Consumer.IOMMU, reason, message.start)
        context.send(message.gmem, no, after)

    return lambda world: world.replace(IOMMU, request, on_request, vm=-1)


def x1() -> World:
    """X1, B. A page of an accepted 2 MiB leaf becomes shared; KVM has removed it when the store finds no memory.

    Nothing maps it again: AN3. The guest is told that the conversion failed, goes on using the page as private (its
    reaction R3), and dies: AN1.
    """
    world = host("undo", "vm.reaction=keep-private", "vm.guest_retries=0")
    strike(gmem__tree={})(world)
    world.ask(0, 1, SHARED, use=True)
    return world


def x2() -> World:
    """X2, B. Three parts of the range are still private; there is no memory for the second item of the list.

    The error is lost: the ioctl returns 0 with the second and third part not converted, AN19.
    """
    world = host("undo")
    shared_before((2, 4), (6, 8))(world)
    strike(gmem__work={1: 1})(world)
    world.request(0, 10, SHARED)
    return world


def x3() -> World:
    """X3, B1. Two work items; the first is split and zapped when there is no memory to split the second one's leaf.

    ENOMEM, and the first item's pages are mapped no more: AN3.
    """
    world = host("undo-split-first")
    shared_before((MIB_2, 2 * MIB_2))(world)
    strike(kvm__split_memory={2: 0})(world)
    world.request(0x1F0, 0x410, SHARED)
    return world


def x4() -> World:
    """X4, B2. A shared page that the VMM has mapped and a device has pinned is to become private.

    EAGAIN with the page's offset. The one host PTE is gone, AN8; nothing else is.
    """
    world = used(host("in-place", "vm.page_order=0", "vm.start=mapped-4k"), 0x20, 0x21)
    pin(0x20, 0x21)(world)
    world.request(0x20, 0x21, PRIVATE)
    return world


def x5() -> World:
    """X5, B2. The same page, held by nothing but an LRU batch.

    The batches are drained, once, and the conversion succeeds: no AN25.
    """
    world = used(host("in-place", "vm.page_order=0", "vm.start=mapped-4k"), 0x20, 0x21)
    strike(pins__lru={})(world)
    world.request(0x20, 0x21, PRIVATE)
    return world


def x6() -> World:
    """X6, B2H. A page of a 1 GiB folio becomes shared; there is no vmemmap for the split.

    The page is zapped by then: AN3, and AN1 as the guest goes on using it. The filemap, the stash and the folio are
    as before: no AN5, AN6, AN7.
    """
    world = host(
        "in-place-huge",
        "vm.memory=1GiB",
        "vm.page_order=18",
        "vm.reaction=keep-private",
        "vm.guest_retries=0",
    )
    strike(gmem__vmemmap={})(world)
    world.ask(0, 1, SHARED, use=True)
    return world


def x7() -> World:
    """X7, B2H. Three huge pages become shared, and the second batch fails.

    The first one stays shared: AN22, with error_offset at the second.
    """
    world = host("in-place-huge")
    strike(gmem__vmemmap={2: 0})(world)
    world.request(0, 3 * MIB_2, SHARED)
    return world


def x8() -> World:
    """X8, B2H. vCPU 1 touches the private alias of a page in a loop while vCPU 0 makes the page shared.

    Its fault waits for the end of the invalidation, reads the old attribute, waits for the lock, and passes its
    sequence check: a private leaf under a shared page, AN20 (the window RW1). The guest dies of it.
    """
    return looping(host("in-place-huge"))


def x8_store_first() -> World:
    """X8, B2H with the store before the end of the invalidation: the same race ends without AN20.

    The fault reads the new attribute and leaves to the VMM, which makes the page private again for it. The guest has
    not accepted it again and dies by its own fault.
    """
    return looping(host("in-place-huge", "protocol.store_first=true"))


def looping(world: World) -> World:
    """The guest touches page 0 again and again, until the conversion is answered."""

    def on_done(_: object, message: m.TaskDone, context: Context) -> None:
        world.tasks.append((message.task, message.reason))
        if not world.answers:
            again = m.Touch(message.task + 1, 0, 1, PRIVATE)
            context.send(world.address(GUEST), again, context.link)

    world.replace(LOAD, m.TaskDone, on_done)
    world.touch(0, 1, PRIVATE, delay=7_000)
    world.request(0, 1, SHARED)
    return world


def bug(world: World) -> World:
    """Sixteen pages become shared; PAGE.REMOVE of page 7 fails for a bug."""
    strike(tdx__bug={1: 7})(world)
    world.request(0, 16, SHARED)
    return world


def x9() -> World:
    """X9, C0. PAGE.REMOVE of page 7 fails for a bug, and nobody is told but the VM, which dies.

    The page is stored as shared, goes back with the file, and the host gives it to somebody else before the TD's HKID
    is reclaimed: AN11.
    """
    return bug(host("two-phase-untraced"))


def x10() -> World:
    """X10, C' without a check after the commit. The same bug leaves a reference on the page.

    guest_memfd waits for it where the folio is split, in the same conversion already, its lock held: AN9. The next
    conversion of the folio waits for that one.
    """
    world = bug(host("two-phase-refcount"))
    world.request(16, 17, SHARED, delay=200_000)
    return world


def x11() -> World:
    """X11, C. The same bug is told by the poison callback.

    The page is in guest_memfd's poison list and in nobody else's hands: no AN9, AN10, AN11. The VM is dead.
    """
    return bug(host("two-phase"))


def x12() -> World:
    """X12, C. A consumer says NO(F5) in PREPARE after KVM has split a boundary leaf.

    It is the IOMMU driver, as if it mapped private pages too. All that PREPARE did is undone but the split: AN15.
    """
    world = host("two-phase")
    refuses(m.Prepare, Reason.TIMEOUT, after=50_000)(world)
    world.request(0, 1, SHARED)
    return world


def x13() -> World:
    """X13, A, private to shared. KVM has unmapped when the IOMMU driver fails, as if it mapped private pages too.

    Nobody maps the page again: AN3.
    """
    world = host("failable-notifier")
    refuses(m.Invalidate, Reason.TIMEOUT, after=50_000)(world)
    world.request(0, 1, SHARED)
    return world


def x13_to_private() -> World:
    """X13, A, shared to private. KVM has unmapped; the IOMMU driver has unmapped too when its invalidation fails.

    The page stays shared without an IOMMU entry. A device's IOTLB may know it for a while, until another conversion's
    invalidation completes behind it; then the device meets a DMAR fault: AN2.
    """
    world = used(host("failable-notifier"), 0x20, 0x22)
    strike(iommu__timeout={1: 0})(world)
    world.request(0x20, 0x21, PRIVATE)
    world.request(0x21, 0x22, PRIVATE, delay=SECOND + SECOND // 2)
    read = m.DmaAccess(vm_address(0, 0), 0x20, 0x21, listener=0, write=False)
    world.post(IOMMU, read, vm=-1, delay=2 * SECOND)  # long after the refusal
    return world


def x14() -> World:
    """X14, two-phase as an example. The guest makes 8 MiB shared by one MapGPA, and the third piece of 2 MiB fails.

    The guest is told where that one begins and asks again from there; without any progress it gives up. The first two
    pieces stay shared: AN16.
    """
    world = host("two-phase", "vm.guest_retries=0")
    strike(gmem__tree={3: 0, 4: 0})(world)
    world.ask(0, 4 * MIB_2, SHARED)
    return world


def x15() -> World:
    """X15, two-phase as an example. The ioctl succeeds; of the VMM's two listeners the second one cannot map the page.

    Neither the bitmap nor the first listener is taken back, and the guest is told that the conversion failed: AN18.
    """
    world = host("two-phase", "vmm.listeners=2")
    strike(iommu__map={2: 0})(world)
    world.request(0, 1, SHARED)
    return world


def x16() -> World:
    """X16, two-phase as an example. While KVM blocks a boundary leaf, VP.ENTER of vCPU 2 holds the S-EPT tree lock.

    The TDX module looks for zero-step attacks there. BLOCK is BUSY once; all vCPUs are kicked out, the one retry
    succeeds: no AN24.
    """
    world = host("two-phase")
    world.td().zero_step_until = FOREVER  # or until a kick takes the vCPU out
    world.request(0, 1, SHARED)
    return world


WITNESSES: dict[str, Callable[[], World]] = {
    "X1": x1,
    "X2": x2,
    "X3": x3,
    "X4": x4,
    "X5": x5,
    "X6": x6,
    "X7": x7,
    "X8": x8,
    "X8_store_first": x8_store_first,
    "X9": x9,
    "X10": x10,
    "X11": x11,
    "X12": x12,
    "X13": x13,
    "X13_to_private": x13_to_private,
    "X14": x14,
    "X15": x15,
    "X16": x16,
}
