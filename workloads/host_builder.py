"""From a plan to a host full of actors: who exists, in which state, and what sets it going."""

from collections.abc import Sequence

import msgspec

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
    host_address,
    vm_address,
)
from actors.allocator import Allocator
from actors.contract import PAGE_BYTES, Actor, Message, Share
from actors.devices import Devices
from actors.gmem.files import SharedInode
from actors.gmem.frames import Tenancy
from actors.gmem.inode import Binding, Gmem
from actors.guest.release import Releasing
from actors.guest.td import Guest
from actors.host_map import HostMap
from actors.intervals import IntervalMap
from actors.kvm.file import FileKvm
from actors.kvm.mmu import KvmMmu
from actors.kvm.tables import BUILT, SeptTables
from actors.other_vm import OtherVm
from actors.pins import Pins
from actors.protocols import key_of
from actors.slots import Slots
from actors.tdx import pamt as tdx_pamt
from actors.tdx import tables as tdx_tables
from actors.tdx.contention import Contention
from actors.tdx.entries import LEVEL_SHIFT, Td
from actors.tdx.module import TdxModule
from actors.tdx.pamt import DynamicPamt
from actors.tdx.states import LEVEL_2M, LEVEL_4K, Entry
from actors.vmm.kill import Life
from actors.vmm.process import Vmm
from workloads.arriving import agents, first_move, first_request
from workloads.load_builder import LoadBuilder, Streams, first_wait, others
from workloads.loads.load import load_address
from workloads.loads.tenant import Moved
from workloads.options import failable, follow, options, page_cache, policy, unit
from workloads.plan import Plan
from workloads.readmission import admissions, successors_of
from workloads.scenario import DmaStorm
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


class HostBuilder:
    """Builds one host."""

    def __init__(self, plan: Plan, host: int) -> None:
        self.plan = plan
        self.scenario = plan.scenario
        self.host = host
        self.base = host_address(host)
        self.options = options(plan.scenario, host)
        self.first: list[tuple[int, int, Message]] = []
        self.loads = LoadBuilder(plan, host)
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
        if self.plan.moves:
            self.first += first_move(self.plan, self.host)
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
        program = self.loads.program(fleet, first, slots)
        born = fleet * scenario.fleet.stagger
        if vm == first:
            self.first += [
                (born + first_wait(program, lane), load_address(vm), m.Tick(lane))
                for lane in range(program.lanes)
            ]
        else:
            program = Moved(program, first, vm)
        return {
            load_address(vm): self.loads.load(fleet, vm, program, born),
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
        """Devices that do DMA, where the VM's workload has some, or that of one which may move here."""
        own = self.plan.workload_of(number)
        loads = self.scenario.workload if self.plan.moves else self.scenario.workload[own : own + 1]
        if not any(isinstance(load, DmaStorm) for load in loads):
            return {}
        self.iommu.streams = True
        found = Devices.of(vm, Streams(self.plan)(vm), self.iommu.listeners)
        if self.plan.moves:
            found.programs = Streams(self.plan)
        return {vm | DEVICES: found}

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
