"""What can befall a conversion: each function gives a step that arranges one cause on a world."""

from collections.abc import Callable, Mapping

from actors import messages as m
from actors.address import (
    ALLOCATOR,
    GMEM,
    GUEST,
    IOMMU,
    KVM,
    PINS,
    TDX,
    VMM,
    kind_of,
    vm_address,
)
from actors.allocator import Allocator
from actors.contract import Consumer, Context, Fault, Message, Reason
from actors.gmem.inode import Gmem
from actors.intervals import IntervalMap
from actors.iommu.driver import QUEUE_SLOTS, Iommu
from actors.kvm.mmu import KvmMmu
from actors.tdx import entries as tdx_entries
from actors.tdx.states import LEVEL_2M, LEVEL_4K, Entry
from cluster.faults import FAULT_POINTS
from tests.helpers import PRIVATE, SHARED, World

FOREVER = 10**15  # ns
Arrange = Callable[[World], None]


class Strikes:
    """A fault plan: the points strike at these calls (from 1), at the opportunity given; without calls, at each."""

    def __init__(self, points: Mapping[str, Mapping[int, int]]) -> None:
        self.points = points
        self.asked = dict.fromkeys(points, 0)
        self.armed = points

    def choose(self, point: str, count: int, *_: object) -> Fault | None:
        """See cluster.faults.FaultPlan."""
        if point not in self.points:
            return None
        self.asked[point] += 1
        calls = self.points[point]
        first = calls.get(self.asked[point], count) if calls else 0
        return Fault(FAULT_POINTS[point].reason, first) if first < count else None


def strike(**points: Mapping[int, int]) -> Arrange:
    """`gmem__tree={1: 0}`: gmem.tree strikes when it is met for the first time, at the first opportunity."""
    found = {name.replace("__", "."): calls for name, calls in points.items()}

    def arrange(world: World) -> None:
        world.host.faults = Strikes(found)  # type: ignore[assignment]

    return arrange


def after(*steps: Arrange) -> Arrange:
    """One thing after the other."""

    def arrange(world: World) -> None:
        for step in steps:
            step(world)

    return arrange


def pool(pages: int) -> Arrange:
    """So many pages are left in the host's pool."""
    return lambda world: setattr(world.allocator(), "free", pages)


def pin(start: int, end: int, hold: int = FOREVER) -> Arrange:
    """Somebody holds a reference on these pages."""

    def arrange(world: World) -> None:
        world.hold(start, end)
        if hold < FOREVER:
            world.post(PINS, m.Unpin(start, end, 1), delay=hold)

    return arrange


def shared_before(*ranges: tuple[int, int]) -> Arrange:
    """These pages are shared already."""

    def arrange(world: World) -> None:
        for start, end in ranges:
            assert world.convert(start, end, SHARED) is Reason.NONE

    return arrange


def touched(start: int, end: int, delay: int) -> Arrange:
    """The guest uses these private pages so many ns later."""

    def arrange(world: World) -> None:
        world.touch(start, end, PRIVATE, delay=delay)

    return arrange


def used_elsewhere(start: int, end: int) -> Arrange:
    """Another VM that has a file of the inode has used these shared pages."""

    def arrange(world: World) -> None:
        world.use_elsewhere(start, end)
        world.run()
        assert world.kvm(file=1).shared_ept.only(start, end, 1)

    return arrange


def uses_again(start: int, end: int) -> Arrange:
    """It uses them once more as soon as its KVM has unmapped them."""

    def arrange(world: World) -> None:
        def on_flushed(kvm: KvmMmu, message: m.Flushed, context: Context) -> None:
            touch = m.Touch(9, start, end, SHARED)
            context.send(world.address(GUEST, file=1), touch, context.link)
            kvm.on_flushed(message, context)

        world.replace(KVM, m.Flushed, on_flushed, file=1)

    return arrange


def preempted(wait: int, file: int = 0) -> Arrange:
    """The vCPU's thread is preempted for so many ns between looking the folio up and taking mmu_lock."""

    def arrange(world: World) -> None:
        met: list[m.GotPfn] = []

        def on_got_pfn(kvm: KvmMmu, message: m.GotPfn, context: Context) -> None:
            if met:
                kvm.on_got_pfn(message, context)
            else:
                context.after(wait, message)
            met.append(message)

        world.replace(KVM, m.GotPfn, on_got_pfn, file=file)

    return arrange


def preempted_until(event: type[Message]) -> Arrange:
    """The same until KVM has dealt with the first message of this kind."""

    def arrange(world: World) -> None:
        met: list[m.GotPfn] = []
        happened: list[Message] = []

        def on_got_pfn(kvm: KvmMmu, message: m.GotPfn, context: Context) -> None:
            if happened:
                kvm.on_got_pfn(message, context)
            else:
                met.append(message)

        def on_event(kvm: KvmMmu, message: Message, context: Context) -> None:
            KvmMmu.HANDLERS[event](kvm, message, context)
            for found in () if happened else met:
                context.after(context.link, found)
            happened.append(message)

        world.replace(KVM, m.GotPfn, on_got_pfn)
        world.replace(KVM, event, on_event)

    return arrange


def silent(consumer: Consumer) -> Arrange:
    """This consumer's READY gets lost."""

    def on_ready(gmem: Gmem, message: m.Ready, context: Context) -> None:
        if message.consumer is not consumer:
            Gmem.HANDLERS[m.Ready](gmem, message, context)

    return lambda world: world.replace(GMEM, m.Ready, on_ready)


def dies_at(message: type[Message]) -> Arrange:
    """KVM is bugged by something else just before it gets this message."""

    def arrange(world: World) -> None:
        kvm = world.kvm()
        own = kvm.HANDLERS[message]

        def handle(actor: object, found: Message, context: Context) -> None:
            kvm.bug("elsewhere", Reason.BUG, True, context)
            own(actor, found, context)

        world.replace(KVM, message, handle)

    return arrange


def stays_mapped(page: int) -> Arrange:
    """KVM could not unmap this page once, told nobody, and the VM goes on."""

    def arrange(world: World) -> None:
        kvm = world.kvm()
        kvm.left = IntervalMap.filled(0)
        for left in (kvm.left, world.inspector.books(kvm.vm).left):
            left.set(page, page + 1, 1)

    return arrange


def killed(after_ns: int) -> Arrange:
    """The VMM is killed so long after the request."""

    def arrange(world: World) -> None:
        world.killable()
        world.post(VMM, m.Kill(), delay=after_ns)

    return arrange


def stops(after_ns: int) -> Arrange:
    """The VMM learns so long after the request that the VM cannot go on, and exits."""
    return lambda world: world.post(VMM, m.VmDead(), delay=after_ns)


def released(*parts: tuple[int, int]) -> Arrange:
    """A guest with trusted IO has released these pages, and no others."""

    def arrange(world: World) -> None:
        world.replace(GUEST, m.Release, lambda *_: None)
        world.post(TDX, m.Release(vm_address(0, 0), 0, parts), vm=-1)
        world.run()

    return arrange


def accepted_at(message: type[Message], page: int) -> Arrange:
    """The guest accepts a page again just before KVM gets this message."""

    def arrange(world: World) -> None:
        own = world.kvm().HANDLERS[message]

        def handle(actor: object, found: Message, context: Context) -> None:
            where = vm_address(0, 0), page, page + 1, Entry.MAPPED, LEVEL_4K
            context_of = world.host.cells[world.address(TDX, -1)]
            tdx_entries.enter(world.tdx(), world.td(), *where, context_of)
            own(actor, found, context)

        world.replace(KVM, message, handle)

    return arrange


def tree_locked(world: World) -> None:
    """Another host operation holds the S-EPT tree lock."""
    world.td().tree_exclusive_until = FOREVER


def queue_stuck(world: World) -> None:
    """The invalidation queue waits for another VM's request."""
    world.iommu().free_at = FOREVER


def queue_full(world: World) -> None:
    """Every descriptor is taken."""
    world.iommu().slots = QUEUE_SLOTS


def closed(world: World) -> None:
    """The file is gone."""
    world.gmem().released = True


def poison(start: int, end: int) -> Arrange:
    """An earlier conversion has poisoned these pages."""

    def arrange(world: World) -> None:
        world.gmem().poison.set(start, end, 1)
        world.inspector.books(vm_address(0, 0)).poison.set(start, end, 1)

    return arrange


def one_entry(start: int, end: int) -> Arrange:
    """The devices map the range by entries of 2 MiB where they can, as if it had been mapped in one go."""
    return lambda world: world.iommu().domains[vm_address(0, 0)].set(start, end, LEVEL_2M)


def detached(world: World) -> None:
    """The VM's IOMMU domain is gone."""
    iommu = world.iommu()
    iommu.detached = list(iommu.domains)


def detached_meanwhile(world: World) -> None:
    """The VM's IOMMU domain goes while its driver waits for memory."""

    def on_reserved(iommu: Iommu, message: m.Reserved, context: Context) -> None:
        iommu.receive(m.Detach(vm_address(0, 0)), context)
        iommu.on_reserved(message, context)

    world.replace(IOMMU, m.Reserved, on_reserved, vm=-1)


def no_memory_for(kind: str) -> Arrange:
    """The host's allocator has nothing for this kind of actor."""

    def arrange(world: World) -> None:
        def on_reserve(actor: Allocator, message: m.Reserve, context: Context) -> None:
            if kind_of(message.reply_to) == kind:
                context.send(message.reply_to, m.Reserved(message.ticket, False), context.link)
            else:
                actor.on_reserve(message, context)

        world.replace(ALLOCATOR, m.Reserve, on_reserve, vm=-1)

    return arrange
