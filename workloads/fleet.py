"""From a plan to hosts full of actors: who exists, in which state, and what sets it going."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import msgspec

from actors import fleet_messages, tdx_pamt, tdx_tables
from actors import messages as m
from actors.address import (
    ALLOCATOR,
    DEVICES,
    GMEM,
    GUEST,
    HOST_MAP,
    IOMMU,
    KVM,
    PINS,
    TDX,
    VMM,
    file_address,
    host_address,
    vm_address,
    vm_of,
)
from actors.allocator import Allocator
from actors.contract import PAGE_BYTES, Actor, Message, Reason, Share
from actors.devices import Devices
from actors.gmem import Binding, Gmem
from actors.gmem_files import SharedInode
from actors.gmem_frames import Tenancy
from actors.guest import Guest
from actors.guest_release import Releasing
from actors.host_map import HostMap
from actors.intervals import IntervalMap
from actors.iommu import APART, Iommu
from actors.kvm_file import FileKvm
from actors.kvm_memory import AT_SPLIT, PageCache
from actors.kvm_mmu import KvmMmu
from actors.kvm_tables import BUILT, SeptTables
from actors.other_vm import OtherVm
from actors.pins import Pins
from actors.protocols import PROTOCOLS, Event, FileOptions, Options, key_of
from actors.slots import Slots
from actors.tdx_contention import ACCEPTING, BACKGROUND, STORM, Contention
from actors.tdx_entries import LEVEL_SHIFT, Td
from actors.tdx_module import TdxModule
from actors.tdx_pamt import DynamicPamt
from actors.tdx_states import LEVEL_2M, LEVEL_4K, Entry
from actors.vmm import Policy, Vmm
from actors.vmm_kill import Life
from actors.vmm_listeners import Follow
from cluster.batch import message_types
from cluster.costs import CostModel
from cluster.draws import key_of as draws_of
from cluster.fault_points import CLASSES
from cluster.faults import FaultPlan, FaultRule
from cluster.world import Feed, World
from workloads import cost_table
from workloads.arriving import agents, first_request
from workloads.census import backlog, census
from workloads.checkers import checkers
from workloads.fleet_meter import FleetMeter
from workloads.loads.arrived import ArrivedLoad
from workloads.loads.dma import DmaLoad, DmaStormProgram, DmaStreams
from workloads.loads.files import FilesLoad
from workloads.loads.load import Load, Program, load_address
from workloads.loads.programs import BootProgram
from workloads.loads.table import PROGRAMS, paced
from workloads.loads.tenant import Moved, Seat, TenantLoad
from workloads.loads.trace import TraceProgram
from workloads.meter import Meter
from workloads.plan import DECODER, Plan
from workloads.readmission import admissions, successors_of
from workloads.recorder import Recorder
from workloads.scenario import Boot, DmaStorm, Fault, Scenario, Trace
from workloads.scenario.recorded import all_recorded
from workloads.vm_shape import (
    Shape,
    comes_later,
    entry_at_start,
    folios_at_start,
    inode_pages,
    leaves_at_start,
    number_of,
    shapes,
)

NEVER = 0


def build(encoded: bytes, hosts: Sequence[int]) -> World:
    """The hosts of one partition (cluster.world.Build)."""
    plan = DECODER.decode(encoded)
    scenario = plan.scenario
    world = World(
        seed=scenario.scenario.seed,
        actors={},
        first=[],
        costs=CostModel({cost.name: cost for cost in plan.costs}),
        faults=FaultPlan(scenario.scenario.seed, fault_rules(scenario)),
        watchers={"meter": meter(plan), **checkers(plan), **recorder(plan)},
        feeds={},
        census=census,
        backlog=partial(backlog, scenario.scenario.duration),
    )
    actors: dict[int, dict[int, Actor]] = {}
    first: list[tuple[int, int, Message]] = []
    feeds: dict[int, Feed] = {}
    for host in hosts:
        builder = HostBuilder(plan, host)
        actors[host] = builder.build()
        first += builder.first
        feeds |= builder.feeds
    world.actors, world.first, world.feeds = actors, first, feeds
    if plan.arrives:
        world.types = message_types(m, fleet_messages)
    return world


def meter(plan: Plan) -> Meter:
    """What counts, and of arriving VMs their requests, too."""
    name, fleet = plan.scenario.protocol.name, plan.scenario.fleet
    if not plan.arrives:
        return Meter(name)
    return FleetMeter(name, fleet.vms_per_host * (plan.generations - 1))


def recorder(plan: Plan) -> dict[str, Recorder]:
    """Who writes timelines down, where somebody wants one."""
    vms = all_recorded(plan.scenario)
    return {"recorder": Recorder(vms)} if vms else {}


def fault_rules(scenario: Scenario) -> list[FaultRule]:
    """The scenario's fault plan, the interrupts that end a MapGPA early, which are no failure, and BUSY by chance."""
    vm = scenario.vm
    places = scenario.fleet.vms_per_host if scenario.fleet.reuse == "readmit" else 0
    rules = [fault_rule(fault, places) for fault in scenario.fault]
    if vm.busy == "rate":
        rules.append(FaultRule(ACCEPTING, vm.busy_accepting))
        rules.append(FaultRule(STORM, vm.busy_storm))
    if vm.busy_background:
        rules.append(FaultRule(BACKGROUND, vm.busy_background))
    if scenario.vm.interrupt_probability:
        rules.append(FaultRule("kvm.interrupt", scenario.vm.interrupt_probability))
    if scenario.vm.iotlb_outliers:
        outlier = cost_table.read(scenario.costs.model)["cost"]["iotlb_outlier"]
        rules.append(FaultRule("iommu.outlier", outlier["probability"]))
    return rules


def fault_rule(fault: Fault, places: int = 0) -> FaultRule:
    """One entry of the scenario as one of the plan."""
    return FaultRule(
        fault.point,
        fault.probability,
        fault.start_ns,
        fault.until_ns,
        fault.hosts,
        fault.vms,
        tuple(size // PAGE_BYTES for size in fault.memory),
        tuple(sorted(fault.nth)),
        fault.every,
        fault.lasts,
        CLASSES.get(fault.reason, Reason.NONE),
        fault.also,
        places,
    )


class HostBuilder:
    """Builds one host."""

    def __init__(self, plan: Plan, host: int) -> None:
        self.plan = plan
        self.scenario = plan.scenario
        self.host = host
        self.base = host_address(host)
        self.options = options(plan.scenario, host)
        self.first: list[tuple[int, int, Message]] = []
        self.feeds: dict[int, Feed] = {}
        self.tdx = TdxModule({}, IntervalMap.filled(0))
        if self.scenario.fleet.pamt == "dynamic":
            self.tdx.dynamic = DynamicPamt()
        if self.scenario.vm.busy == "rate":
            self.tdx.by_rate = Contention()
        self.follow = follow(plan.scenario)
        self.iommu = unit(plan.scenario, self.base)

    def build(self) -> dict[int, Actor]:
        """Address -> actor."""
        pool = self.scenario.fleet.spare_memory // PAGE_BYTES
        actors: dict[int, Actor] = {}
        first = list(shapes(self.plan, self.host))
        for vm, shape in () if self.plan.arrives else enumerate(first):
            actors.update(self.vm(vm, shape))
        reuse = self.scenario.fleet.reuse
        allocator = Allocator(pool, IntervalMap.filled(0), self.base, reuse == "others")
        if reuse == "readmit":
            allocator.admits = admissions(self.plan, self.host, first)
            self.tdx.readmits = True
            actors.update(self.later(first))
        if self.plan.arrives:
            actors.update(self.arriving())
        actors[self.base | ALLOCATOR] = allocator
        actors[self.base | TDX] = self.tdx
        actors[self.base | IOMMU] = self.iommu
        return actors

    def arriving(self) -> dict[int, Actor]:
        """Who places VMs."""
        self.first += first_request(self.plan, self.host)
        return agents(self.plan, self.host, successors_of(self.plan, self.host))

    def later(self, first: Sequence[Shape]) -> dict[int, Actor]:
        """VMs that may come after those, or arrive, each in its place: without frames, and nothing to do yet."""
        vm = msgspec.structs.replace(self.scenario.vm, start="unaccepted")
        scenario = msgspec.structs.replace(self.scenario, vm=vm)
        builder = HostBuilder(msgspec.structs.replace(self.plan, scenario=scenario), self.host)
        builder.tdx, builder.iommu = self.tdx, self.iommu
        found: dict[int, Actor] = {}
        begin = 0 if self.plan.arrives else 1
        for generation in range(begin, self.plan.generations):
            for place, shape in enumerate(first):
                number = generation * scenario.fleet.vms_per_host + place
                found.update(
                    builder.vm(number, shape._replace(frames=dict.fromkeys(shape.frames, 0)))
                )
        return found

    def vm(self, number: int, shape: Shape) -> dict[int, Actor]:
        """One VM's actors; its parts of the host's actors are added on the way."""
        scenario, slots = self.scenario, shape.slots
        vm = vm_address(self.host, number)
        fleet = number_of(self.plan, vm)
        log = self.plan.log_of(fleet)
        vcpus = log.vcpus if log and log.vcpus else scenario.vm.vcpus
        leaves = IntervalMap.filled(0)
        for start, end, level in leaves_at_start(self.plan, slots):
            leaves.set(start, end, level)
        self.tdx.tds[vm] = self.td(vm, shape)
        if scenario.vm.devices:
            self.domains(vm, slots)
        first = (
            vm if self.plan.arrives else vm_address(self.host, fleet % scenario.fleet.vms_per_host)
        )
        program = self.program(fleet, first, slots)
        born = fleet * scenario.fleet.stagger
        if vm == first:
            self.first += [
                (born + first_wait(program, lane), load_address(vm), m.Tick(lane))
                for lane in range(program.lanes)
            ]
        else:
            program = Moved(program, first, vm)
        return {
            load_address(vm): self.load(fleet, vm, program, born),
            vm | GUEST: self.guest(vm, vcpus, leaves),
            vm | VMM: self.vmm(vm, slots),
            vm | KVM: self.kvm(vm, slots, leaves),
            vm | HOST_MAP: self.host_map(vm, slots),
            vm | PINS: Pins(vm, scenario.protocol.freeze_budget, scenario.fleet.cpus),
            **self.gmems(vm, shape),
            **self.devices(fleet, vm),
            **self.other_vms(vm, slots),
        }

    def kvm(self, vm: int, slots: Slots, leaves: IntervalMap) -> KvmMmu:
        """The VM's KVM MMU, with these private leaves."""
        shape = self.scenario.vm
        found = KvmMmu(vm, slots, shape.track == "page", leaves, IntervalMap.filled(0))
        found.guest_inhibit = shape.guest_inhibit
        found.cache = page_cache(self.scenario)
        if shape.sept_add:
            there = tdx_tables.over(leaves, BUILT)
            found.tables, found.sept = there.small, SeptTables(there.large)
        return found

    def other_vms(self, vm: int, slots: Slots) -> dict[int, Actor]:
        """KVM and vCPUs of the VMs that have the VM's inodes open beside it; they begin with nothing mapped."""
        shape, found = self.scenario.vm, dict[int, Actor]()
        for other in others(vm, self.scenario):
            nothing = IntervalMap.filled(0), IntervalMap.filled(0)
            found[other | KVM] = FileKvm(other, slots, shape.track == "page", *nothing)
            found[other | GUEST] = OtherVm(other, min(shape.busy_vcpus, shape.vcpus))
        return found

    def vmm(self, vm: int, slots: Slots) -> Vmm:
        """The VM's VMM; all memory is private."""
        scenario = self.scenario
        found = Vmm(vm, slots, policy(scenario), scenario.vm.devices, IntervalMap.filled(0))
        found.follow, found.terminates = self.follow, scenario.vm.terminate
        if any("vmm.kill" in (fault.point, *fault.also) for fault in scenario.fault):
            found.life = Life.RUNNING
        return found

    def host_map(self, vm: int, slots: Slots) -> HostMap:
        """The VMM's own page tables, empty."""
        found = HostMap(vm, slots, IntervalMap.filled(0), failable=failable(self.scenario))
        found.apart = self.follow.apart
        return found

    def domains(self, vm: int, slots: Slots) -> None:
        """The VM's IOMMU domains: empty, or where no listener is told anything, full of the shared side."""
        listeners = self.follow.listeners
        for listener in range(max(1, listeners)):
            self.iommu.domains[vm | listener] = IntervalMap.filled(0)
        for slot in slots if not listeners else ():
            self.iommu.domains[vm].set(slot.gfn, slot.gfn + slot.pages, LEVEL_4K)
        if self.scenario.vm.page_order == 0:
            self.iommu.scattered[vm] = True

    def devices(self, number: int, vm: int) -> dict[int, Actor]:
        """Devices that do DMA, where the VM's workload has some."""
        load = self.scenario.workload[self.plan.workload_of(number)]
        if not isinstance(load, DmaStorm):
            return {}
        self.iommu.streams = True
        streams = DmaStreams(load, self.scenario.scenario.seed, vm)
        return {vm | DEVICES: Devices.of(vm, streams, self.iommu.listeners)}

    def guest(self, vm: int, vcpus: int, leaves: IntervalMap) -> Guest:
        """The TD guest; what is mapped at the start is accepted, unless it is only prefaulted."""
        shape = self.scenario.vm
        accepted = IntervalMap.filled(0)
        for start, end, level in leaves.runs(0, leaves.starts[-1] + 1):
            if level and entry_at_start(self.plan) == Entry.MAPPED:
                accepted.set(start, end, 1)
        busy = min(shape.busy_vcpus, vcpus)
        pinned = Releasing() if shape.td_pinned else msgspec.UNSET
        ticking = min(shape.ticking_vcpus, busy)
        return Guest(
            vm,
            vcpus,
            busy,
            ticking,
            shape.guest_retries,
            shape.reaction,
            accepted,
            LEVEL_2M if shape.accept_level == "2m" else LEVEL_4K,
            releasing=pinned,
        )

    def load(self, number: int, vm: int, program: Program, born: int) -> Load:
        """The VM's load, with its share of the fleet's conversions."""
        quota = self.plan.quota_of(number)
        until = self.scenario.scenario.duration if quota >= 0 else NEVER
        sequences = 1 if program.one_sequence else program.lanes
        state = (vm, program, max(quota, 0), until, born, [0] * sequences)
        if self.plan.arrives:
            return self.tenant(ArrivedLoad(*state))
        if self.plan.generations > 1:
            return self.tenant(TenantLoad(*state))
        if self.scenario.vm.files_per_inode > 1:
            guests = tuple(other | GUEST for other in others(vm, self.scenario))
            key = draws_of(self.scenario.scenario.seed, "files", vm)
            return FilesLoad(*state, others=guests, key=key)
        return DmaLoad(*state) if isinstance(program, DmaStormProgram) else Load(*state)

    def tenant(self, load: TenantLoad) -> TenantLoad:
        """The load of a place that others may have after the VM, or have had before it."""
        if comes_later(self.plan, load.vm):
            places = self.scenario.fleet.vms_per_host
            load.before = load_address(vm_address(self.host, vm_of(load.vm) - places))
            load.seat = Seat.EMPTY
        load.pages = self.scenario.vm.memory // PAGE_BYTES
        load.vcpus = self.scenario.vm.vcpus
        return load

    def program(self, number: int, vm: int, slots: Slots) -> Program:
        """What the VM is going to do."""
        scenario = self.scenario
        load = scenario.workload[self.plan.workload_of(number)]
        pages, seed = slots[0].pages, scenario.scenario.seed
        match load:
            case Trace():
                log = self.plan.log_of(number)
                assert log is not None
                trace = TraceProgram(load, log)
                self.feeds[load_address(vm)] = trace
                return trace
            case Boot():
                unaccepted = not scenario.vm.start.startswith("mapped")
                return paced(BootProgram(load, pages, unaccepted, seed, vm), load, seed, vm)
            case _:
                return PROGRAMS[type(load)](load, pages, seed, vm)

    def gmems(self, vm: int, shape: Shape) -> dict[int, Actor]:
        """One guest_memfd for each inode that the slots name."""
        scenario = self.scenario
        found: dict[int, Actor] = {}
        for number, pages in inode_pages(shape.slots).items():
            folios = IntervalMap.filled(-1)
            for start, end, order in folios_at_start(self.plan, pages):
                folios.set(start, end, order)
            bindings = tuple(
                Binding(slot.index, slot.gfn, slot.pages)
                for slot in shape.slots
                if slot.gmem == number
            )
            address = vm | GMEM | number
            kind = Gmem if scenario.vm.files_per_inode == 1 else SharedInode
            file = kind(
                address,
                key_of(scenario.protocol.name, self.options),
                bindings,
                scenario.vm.page_order,
                scenario.protocol.prepare_timeout,
                shape.frames[number],
                IntervalMap.filled(Share.PRIVATE),
                folios,
                IntervalMap.filled(0),
                self.options,
            )
            if isinstance(file, SharedInode):
                file.files = scenario.vm.files_per_inode
            file.pinned = scenario.vm.td_pinned or msgspec.UNSET
            if comes_later(self.plan, vm):
                file.tenancy = Tenancy()
            found[address] = file
        return found

    def td(self, vm: int, shape: Shape) -> Td:
        """The TDX module's part of the VM: entries, frames and their owner."""
        frames, entries = IntervalMap.filled(0), IntervalMap.filled(0)
        for slot in shape.slots:
            pfn = shape.frames[slot.gmem] + slot.index
            frames.set(slot.gfn, slot.gfn + slot.pages, pfn - slot.gfn)
        for start, end, level in leaves_at_start(self.plan, shape.slots):
            entries.set(start, end, entry_at_start(self.plan) | level << LEVEL_SHIFT)
            pfn = start + frames.get(start)
            self.tdx.pamt.set(pfn, pfn + end - start, vm)
            if level == LEVEL_4K and self.tdx.dynamic is not msgspec.UNSET:
                tdx_pamt.count(self.tdx.dynamic, pfn, pfn + end - start, 1)
        td = Td(entries, frames, pins=self.scenario.vm.td_pinned or msgspec.UNSET)
        if self.scenario.vm.sept_add:
            leaves = IntervalMap.filled(0)
            for start, end, level in leaves_at_start(self.plan, shape.slots):
                leaves.set(start, end, level)
            td.tables = tdx_tables.over(leaves)
        return td


def others(vm: int, scenario: Scenario) -> list[int]:
    """Base addresses of the VMs that have a VM's inodes open beside it."""
    return [file_address(vm, file) for file in range(1, scenario.vm.files_per_inode)]


def page_cache(scenario: Scenario) -> PageCache | msgspec.UnsetType:
    """What a VM's KVM keeps at hand for its faults, where they want anything."""
    pamt, tables = scenario.fleet.pamt, scenario.vm.sept_add
    return msgspec.UNSET if pamt == AT_SPLIT and not tables else PageCache(pamt)


def unit(scenario: Scenario, host: int) -> Iommu:
    """A host's IOMMU unit."""
    vm = scenario.vm
    mode = APART if vm.backend == "two-backends" else vm.iommu
    listeners = max(1, scenario.vmm.listeners)
    timeout = scenario.protocol.prepare_timeout
    return Iommu(host, timeout, {}, mode, vm.inval_fail == "hang", listeners)


def follow(scenario: Scenario) -> Follow:
    """How VMMs follow conversions for their devices."""
    vm, vmm = scenario.vm, scenario.vmm
    apart = vm.backend == "two-backends"
    return Follow(vmm.listeners, vm.iommu == "pin", vmm.unmap == "first" or apart, apart)


# What hosts do by turns where a parameter says "mixed", and what "yes" and "no" stand for.
TURNS = {"mark": ("refcount", "none"), "zap_first": ("yes", "no")}
SWITCH = {"yes": True, "no": False}


def options(scenario: Scenario, host: int) -> Options:
    """The protocol's parameters on a host: the scenario's, else the protocol's own."""
    chosen = scenario.protocol
    table = PROTOCOLS[chosen.name]
    # A protocol that has no row for a callback gets none, unless it says how else pages are marked.
    found: dict[str, Any] = {} if table.hears(Event.POISONED) else {"mark": "none"}
    found |= table.defaults
    files = scenario.vm.files_per_inode
    kind = Options if files == 1 else FileOptions
    for name in kind.__struct_fields__:
        said = getattr(chosen, name, "protocol")
        if said != "protocol":
            found[name] = said
    for name, value in found.items():
        if value == "mixed":
            found[name] = TURNS[name][host % len(TURNS[name])]
        found[name] = SWITCH.get(found[name], found[name])
    return kind(**found) if files == 1 else kind(**found | {"files": files})


def first_wait(program: Program, lane: int) -> int:
    """Lanes begin at once, but for those that only accompany the others: they come when they come."""
    job = program.job(lane, 0) if lane >= program.lanes - program.sides else None
    return job.wait if job else 0


def failable(scenario: Scenario) -> bool:
    """May mmu_notifiers fail? Only where the protocol wants failing callbacks, and not for guest_memfd's alone."""
    protocol = scenario.protocol
    return protocol.name == "failable-notifier" and protocol.notifier_scope == "mmu_notifier"


def policy(scenario: Scenario) -> Policy:
    """The VMM's retry policy (docs/domain.md section 2.7, V0 to V4)."""
    vmm = scenario.vmm
    again = (vmm.retry_tries, vmm.retry_first, vmm.retry_max)
    return {
        "legacy": Policy(0, 0, 0, drop_pins=False, fatal=True),
        "spin": Policy(-1, 0, 0, drop_pins=False, fatal=False),
        "backoff": Policy(*again, drop_pins=False, fatal=False),
        "cooperative": Policy(*again, drop_pins=True, fatal=False),
        "report": Policy(0, 0, 0, drop_pins=False, fatal=False),
    }[vmm.retry]
