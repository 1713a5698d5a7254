"""Two stages for actors: a hand-made context for one of them, and a whole host that a test can reach into."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple, TypeVar

from actors import messages as m
from actors import observations
from actors.address import (
    ALLOCATOR,
    GMEM,
    GUEST,
    HOST_MAP,
    IOMMU,
    KVM,
    LOAD,
    PINS,
    TDX,
    VMM,
    file_address,
    host_address,
    vm_address,
)
from actors.allocator import Allocator
from actors.contract import (
    Actor,
    Context,
    Fault,
    Message,
    Observation,
    Place,
    Reason,
    Share,
    page_of,
)
from actors.fleet import move_observations
from actors.fleet import observations as fleet_observations
from actors.gmem.inode import Gmem
from actors.guest.td import Guest
from actors.host_map import HostMap
from actors.intervals import IntervalMap
from actors.iommu.driver import Iommu
from actors.kvm.mmu import KvmMmu
from actors.locks import observations as lock_observations
from actors.pins import Pins
from actors.tdx.entries import Td
from actors.tdx.module import TdxModule
from actors.vmm.kill import Life
from actors.vmm.process import Vmm
from cluster.costs import Cost, CostModel
from cluster.digest import state_of
from cluster.faults import FAULT_POINTS, FaultPlan, FaultRule
from cluster.partition import FOREVER, Order, Partition
from cluster.placement import packed
from cluster.world import World as Built
from workloads.checkers import Inspector
from workloads.fleet import build
from workloads.plan import ENCODER, Plan
from workloads.scenario import from_document
from workloads.simulate import prepare

PRIVATE, SHARED = Share.PRIVATE, Share.SHARED
LINK, COST = 200, 1000  # ns, of the hand-made context
FACTS = tuple(
    kind
    for module in (observations, fleet_observations, lock_observations, move_observations)
    for kind in vars(module).values()
    if isinstance(kind, type) and issubclass(kind, Observation) and kind is not Observation
)
Of = TypeVar("Of")


# --- one actor -----------------------------------------------------------------------------------


class Sent(NamedTuple):
    """One message that an actor sent; a timer is a message to TIMER."""

    target: int
    message: Any  # a Message; tests know which
    delay: int


TIMER = -1


class Recorder:
    """A context that does nothing but write down. Costs are 1000 ns a call unless `costs` says otherwise."""

    def __init__(
        self, choices: Mapping[str, Fault] | None = None, costs: Mapping[str, int] | None = None
    ) -> None:
        self.now = 0
        self.link = LINK
        self.choices = dict(choices or {})
        self.costs = dict(costs or {})
        self.sent: list[Sent] = []
        self.cancelled: list[int] = []
        self.facts: list[Observation] = []
        self.asked: list[tuple[str, int, int]] = []  # fault points: name, opportunities, key
        self.places: list[list[Place]] = []  # and what memory each opportunity is about

    def send(self, target: int, message: Message, delay: int) -> None:
        """See actors.contract.Context."""
        assert delay >= 1
        self.sent.append(Sent(target, message, delay))

    def after(self, delay: int, message: Message) -> int:
        """See actors.contract.Context. The key is the place in `sent`, from 1."""
        self.send(TIMER, message, delay)
        return len(self.sent)

    def cancel(self, key: int) -> None:
        """See actors.contract.Context."""
        self.cancelled.append(key)

    def cost(self, name: str, count: int = 1) -> int:
        """See actors.contract.Context."""
        return self.costs.get(name, COST)

    def choose(
        self,
        point: str,
        count: int = 1,
        key: int = 0,
        span: int = 1,
        places: Iterable[Place] | None = None,
    ) -> Fault | None:
        """See actors.contract.Context."""
        assert point in FAULT_POINTS
        self.asked.append((point, count, key))
        self.places.append(list(places_of(count, key, span, places)))
        assert len(self.places[-1]) == count
        return self.choices.get(point)

    def observe(self, observation: Observation) -> None:
        """See actors.contract.Context."""
        self.facts.append(observation)

    def take(self) -> list[Sent]:
        """What was sent since the last time."""
        sent, self.sent = self.sent, []
        return sent

    def messages(self) -> list[Any]:
        """The same without targets and delays."""
        return [sent.message for sent in self.take()]

    def of(self, kind: type[Of]) -> list[Of]:
        """The facts of one kind."""
        return [fact for fact in self.facts if isinstance(fact, kind)]


def places_of(
    count: int, key: int, span: int, places: Iterable[Place] | None = None
) -> Sequence[Place]:
    """The guest memory that each of `count` opportunities is about."""
    if places is not None:
        return tuple(places)
    first = page_of(key)
    return [(at, at + span) for at in range(first, first + count * span, span)]


def runs(table: IntervalMap) -> list[tuple[int, int]]:
    """(first page, value) of each run."""
    return list(zip(table.starts, table.values, strict=True))


def table(*parts: tuple[int, int, int]) -> IntervalMap:
    """Zero but for the parts (start, end, value)."""
    found = IntervalMap.filled(0)
    for start, end, value in parts:
        found.set(start, end, value)
    return found


# --- a host --------------------------------------------------------------------------------------

BASE: Mapping[str, Mapping[str, Any]] = {
    "scenario": {"name": "test"},
    "fleet": {"hosts": 1, "vms_per_host": 1, "spare_memory": "64MiB"},
    "vm": {"memory": "8MiB", "vcpus": 4, "busy_vcpus": 2, "interrupt_probability": 0.0},
    "vmm": {"retry": "report"},
}
Handle = Callable[[Any, Any, Context], None]


@lru_cache(maxsize=64)
def plan_of(overrides: tuple[str, ...]) -> Plan:
    """The plan of the small host above, with `--set` texts applied."""
    document = {name: dict(section) for name, section in BASE.items()}
    return prepare(from_document(document, "test", overrides, FAULT_POINTS)).plan


class Notebook:
    """A watcher that keeps every fact with its time."""

    def __init__(self) -> None:
        self.facts: list[tuple[int, Observation]] = []

    def watches(self) -> Mapping[type, Callable[[int, Any], None]]:
        """See cluster.world.Watcher."""
        return dict.fromkeys(FACTS, lambda now, fact: self.facts.append((now, fact)))

    def result(self) -> int:
        """See cluster.world.Watcher."""
        return len(self.facts)

    def so_far(self) -> int:
        """See cluster.world.Watcher."""
        return len(self.facts)


class World:
    """One host, built as for a run; methods are about VM 0 unless `vm` names another one.

    The loads are silent unless `load` is set. Durations are their means without `spread`; `each` gives
    every unit of work this many ns instead, unless the scenario says something of it, and a link 200.
    """

    def __init__(
        self, *overrides: str, load: bool = False, spread: bool = False, each: int = 0
    ) -> None:
        self.plan = plan_of(overrides)
        self.notebook = Notebook()
        self.tasks: list[tuple[int, Reason]] = []
        self.answers: list[m.ConvertAnswer] = []
        self.numbers = 0
        self.parked = 0  # for tests that count

        def built(encoded: bytes, hosts: Sequence[int]) -> Built:
            world = build(encoded, hosts)
            world.watchers = {"notebook": self.notebook, **world.watchers}
            if not load:
                world.first = []
            if not spread:
                said = self.plan.scenario.costs.override if each else {}
                flat = [
                    Cost(cost.name, cost.mean if cost.name in said else each or cost.mean, 0.0)
                    for cost in self.plan.costs
                ]
                flat += [Cost("link", LINK, 0.0)] if each else []
                world.costs = CostModel({cost.name: cost for cost in flat})
            return world

        self.partition = Partition(built, ENCODER.encode(self.plan), packed(1, 1))
        self.host = self.partition.hosts[0]
        inspector = self.partition.world.watchers["inspector"]
        assert isinstance(inspector, Inspector)
        self.inspector = inspector
        for vm in range(self.plan.vms):
            if not load:
                self.replace(LOAD, m.TaskDone, self._task_done, vm)
            self._listen(vm)

    def _task_done(self, _: Any, message: m.TaskDone, __: Context) -> None:
        self.tasks.append((message.task, message.reason))

    def _listen(self, vm: int) -> None:
        def answered(guest: Guest, message: m.ConvertAnswer, context: Context) -> None:
            self.answers.append(message)
            Guest.HANDLERS[m.ConvertAnswer](guest, message, context)

        self.replace(GUEST, m.ConvertAnswer, answered, vm)

    # --- who is there ----------------------------------------------------------------------------

    def address(self, kind: int, vm: int = 0, file: int = 0) -> int:
        """Of the host's actor of this kind, or of the VM's; `file` of its inode may be another VM's."""
        shared = kind in (ALLOCATOR, TDX, IOMMU) and vm < 0
        base = host_address(0) if shared else file_address(vm_address(0, vm), file)
        return base | kind

    def actor(self, kind: int, vm: int = 0, file: int = 0) -> Actor:
        """By kind; vm = -1 for the host's own."""
        return self.host.cells[self.address(kind, vm, file)].actor

    def _typed(self, kind: int, vm: int, expected: type[Of], file: int = 0) -> Of:
        found = self.actor(kind, vm, file)
        assert isinstance(found, expected)
        return found

    def gmem(self, vm: int = 0) -> Gmem:
        """guest_memfd number 0 of the VM."""
        return self._typed(GMEM, vm, Gmem)

    def kvm(self, vm: int = 0, file: int = 0) -> KvmMmu:
        """The VM's KVM MMU, or another's that has a file of its inode."""
        return self._typed(KVM, vm, KvmMmu, file)

    def vmm(self, vm: int = 0) -> Vmm:
        """The VM's VMM."""
        return self._typed(VMM, vm, Vmm)

    def guest(self, vm: int = 0) -> Guest:
        """The TD guest."""
        return self._typed(GUEST, vm, Guest)

    def pins(self, vm: int = 0) -> Pins:
        """The VM's pins."""
        return self._typed(PINS, vm, Pins)

    def host_map(self, vm: int = 0) -> HostMap:
        """The VMM's own mapping of the guest's memory."""
        return self._typed(HOST_MAP, vm, HostMap)

    def tdx(self) -> TdxModule:
        """The host's TDX module."""
        return self._typed(TDX, -1, TdxModule)

    def td(self, vm: int = 0) -> Td:
        """The module's part of one VM."""
        return self.tdx().tds[vm_address(0, vm)]

    def iommu(self) -> Iommu:
        """The host's IOMMU unit."""
        return self._typed(IOMMU, -1, Iommu)

    def allocator(self) -> Allocator:
        """The host's page allocator."""
        return self._typed(ALLOCATOR, -1, Allocator)

    # --- what happens ----------------------------------------------------------------------------

    def post(self, kind: int, message: Message, vm: int = 0, delay: int = 1, file: int = 0) -> None:
        """A message to an actor of this kind, as if from itself."""
        cell = self.host.cells[self.address(kind, vm, file)]
        cell.now = self.host.now
        cell.after(delay, message)

    def run(self, until: int = FOREVER) -> None:
        """Handle everything due before `until`."""
        self.partition.advance(Order(until, 1e9))

    def run_until(self, reached: Callable[[], bool]) -> None:
        """Handle one nanosecond after the other until it is so."""
        while not reached():
            at = self.host.next_time()
            assert at is not None, "nothing is left to do, and it never was so"
            self.host.run(at + 1, 1 << 30)

    def request(self, start: int, end: int, to: Share, vm: int = 0, delay: int = 1) -> int:
        """One request at the VMM, as from the guest; its answer will be in `answers`."""
        self.numbers += 1
        number = 1 << 30 | self.numbers << 2  # no task of the guest's own
        now = self.host.now
        reply_to = self.address(GUEST, vm)
        self.post(VMM, m.ConvertRequest(number, start, end, to, now, reply_to), vm, delay)
        return number

    def convert(self, start: int, end: int, to: Share, vm: int = 0) -> Reason:
        """One request, run until nothing is left to do; what was answered."""
        number = self.request(start, end, to, vm)
        self.run()
        return self.answer(number)

    def answer(self, number: int) -> Reason:
        """What came back for a request."""
        (found,) = [answer for answer in self.answers if answer.request == number]
        return found.reason

    def ask(
        self, start: int, end: int, to: Share, use: bool = False, vm: int = 0, delay: int = 1
    ) -> int:
        """The guest converts by MapGPA; the outcome will be in `tasks`."""
        self.numbers += 1
        message = m.Ask(self.numbers, start, end, to, self.host.now, False, use)
        self.post(GUEST, message, vm, delay)
        return self.numbers

    def touch(self, start: int, end: int, share: Share, vm: int = 0, delay: int = 1) -> int:
        """The guest uses memory; the outcome will be in `tasks`."""
        self.numbers += 1
        self.post(GUEST, m.Touch(self.numbers, start, end, share), vm, delay)
        return self.numbers

    def use_elsewhere(self, start: int, end: int, delay: int = 1, file: int = 1) -> int:
        """Another VM that has a file of the inode uses a range that is shared, or was."""
        self.numbers += 1
        touch = m.Touch(self.numbers, start, end, SHARED)
        self.post(GUEST, touch, delay=delay, file=file)
        return self.numbers

    def hold(self, start: int, end: int, vm: int = 0) -> None:
        """Somebody has had a reference on the range from before the beginning, and keeps it."""
        self.pins(vm).held = {1: (start, end)}
        self.inspector.books(vm_address(0, vm)).pins.set(start, end, 1)

    # --- interfering -----------------------------------------------------------------------------

    def inject(self, *points: str, probability: float = 1.0, **rule: Any) -> None:
        """From now on these fault points strike, as the rule says."""
        rules = [FaultRule(point, probability, **rule) for point in points]
        self.host.faults = FaultPlan(1, rules)

    def killable(self, vm: int = 0) -> None:
        """From now on a fault plan may kill the VMM, as where the scenario names its point."""
        self.vmm(vm).life = Life.RUNNING

    def heal(self) -> None:
        """From now on none does."""
        self.host.faults = FaultPlan(1, ())

    def replace(
        self, kind: int, message: type[Message], handle: Handle, vm: int = 0, file: int = 0
    ) -> None:
        """Another handler for this kind of message at one actor."""
        cell = self.host.cells[self.address(kind, vm, file)]
        cell.handlers = {**cell.handlers, message: handle}

    def alter(self, kind: int, change: Callable[[Any], None], vm: int = 0) -> None:
        """One actor is not as it was built."""
        change(self.actor(kind, vm))

    def drop(self, kind: int, message: type[Message], vm: int = 0) -> None:
        """This kind of message gets lost on its way to one actor."""
        self.replace(kind, message, lambda *_: None, vm)

    def restore(self, kind: int, vm: int = 0, file: int = 0) -> None:
        """The actor's own handlers again."""
        cell = self.host.cells[self.address(kind, vm, file)]
        cell.handlers = type(cell.actor).HANDLERS

    # --- what came of it -------------------------------------------------------------------------

    def of(self, kind: type[Of]) -> list[Of]:
        """Every fact of one kind, in order."""
        return [fact for _, fact in self.notebook.facts if isinstance(fact, kind)]

    @property
    def found(self) -> set[str]:
        """Ids of the checks that fired, and of those that do if nothing more happens."""
        return set(self.inspector.counts) | {name for _, name, *_ in self.inspector.open()}

    def maps(self, vm: int = 0) -> dict[str, Any]:
        """Everything that a refused conversion has to leave as it was, by name."""
        gmem, kvm, td = self.gmem(vm), self.kvm(vm), self.td(vm)
        iommu, host_map, vmm = self.iommu(), self.host_map(vm), self.vmm(vm)
        files = range(1, self.plan.scenario.vm.files_per_inode)
        elsewhere = {f"shared_ept.{f}": runs(self.kvm(vm, f).shared_ept) for f in files}
        domain = iommu.domains.get(vm_address(0, vm), IntervalMap.filled(0))
        return {
            "share": runs(gmem.share),
            "folios": runs(gmem.folios),
            "poison": runs(gmem.poison),
            "mirror": runs(kvm.mirror),
            "shared_ept": runs(kvm.shared_ept),
            **elsewhere,
            "sept": runs(td.sept),
            "pamt": runs(self.tdx().pamt),
            "iommu": runs(domain),
            "ptes": runs(host_map.ptes),
            "bitmap": runs(vmm.bitmap),
            "accepted": runs(self.guest(vm).accepted),
            "free": self.allocator().free,
            "free_frames": runs(self.allocator().frames),
        }

    def pending(self) -> dict[str, Any]:
        """Everything that is under way, by actor; empty when the world is at rest."""
        found: dict[str, list[Any]] = defaultdict(list)
        for vm in range(self.plan.vms):
            for name, state in (*self._under_way(vm), *self._elsewhere(vm)):
                if state:
                    found[name].append(state_of_any(state))
        return dict(found)

    def _under_way(self, vm: int) -> Iterator[tuple[str, Any]]:
        gmem, kvm, iommu = self.gmem(vm), self.kvm(vm), self.iommu()
        yield "conversions", gmem.conversions
        yield "file faults", gmem.faults
        yield "ilock", not gmem.released and not gmem.ilock.idle
        yield "mmu_lock", not kvm.lock.idle
        yield "walks", kvm.walks
        yield "invalidations", kvm.invalidations
        yield "callbacks", kvm.notifiers
        yield "zaps", kvm.zaps
        yield "closed files", kvm.ends
        yield "punches", gmem.punches
        yield "fills", gmem.fills
        yield "parked", not kvm.dead and kvm.parked
        yield "page faults", not kvm.dead and kvm.faults
        yield "MapGPA calls", kvm.calls
        yield "unmaps", iommu.unmaps
        yield "tickets", iommu.tickets
        yield "slots", iommu.slots
        yield "host unmaps", self.host_map(vm).saved
        yield "host faults", self.host_map(vm).faults
        yield "mm callers", self.host_map(vm).calls
        yield "pages to get", self.host_map(vm).gups
        yield "reference waits", self.pins(vm).waiting
        yield "frozen references", self.pins(vm).frozen
        yield "wishes for references", self.pins(vm).put_off
        yield "requests", self.vmm(vm).pending
        yield "vmm queue", self.vmm(vm).queue
        yield "vCPUs", self.guest(vm).active
        yield "tasks", self.guest(vm).queue

    def _elsewhere(self, vm: int) -> Iterator[tuple[str, Any]]:
        for file in range(1, self.plan.scenario.vm.files_per_inode):
            kvm = self.kvm(vm, file)
            yield "mmu_lock", not kvm.lock.idle
            yield "walks", kvm.walks
            yield "invalidations", kvm.invalidations
            yield "zaps", kvm.zaps
            yield "parked", not kvm.dead and kvm.parked
            yield "page faults", not kvm.dead and kvm.faults


def state_of_any(state: Any) -> Any:
    """For reading in a failed assertion."""
    return state_of(state)
