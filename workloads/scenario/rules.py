"""What no key can say alone: rules between the keys of a scenario. Pure."""

from collections.abc import Callable, Iterator

from actors import contract
from actors.address import VMS_MAX
from actors.contract import PAGE_BYTES
from actors.protocols import PROTOCOLS, Event
from actors.protocols.marks import MARKS
from workloads.scenario import arrivals, moves
from workloads.scenario.kinds import (
    Balloon,
    Boot,
    Churn,
    DmaStorm,
    Hostile,
    HotRange,
    MemoryPressure,
    NotifierStorm,
    PoolWorkload,
    Script,
    Shutdown,
    Sweep,
    Trace,
)
from workloads.scenario.recorded import recorded
from workloads.scenario.struct import Scenario
from workloads.scripts import lines_of
from workloads.units import format_duration, format_size
from workloads.wording import quote

Breach = tuple[str, str]  # a key's dotted path, and what is wrong with it

STAYING = (Balloon, Boot, DmaStorm, MemoryPressure, Trace)  # bound to their VM
# What a protocol lacks that is to make something of such a mark, and does not hear of it.
LACKS = {
    contract.Trace.CALLBACK: "has no poison callback",
    contract.Trace.FLAG: "looks for no flag",
}
TIME_NS_MAX = 1 << 60  # simulated


def breaches(scenario: Scenario) -> Iterator[Breach]:
    """Every rule that the scenario breaks."""
    for rule in RULES:
        yield from rule(scenario)


def _start(scenario: Scenario) -> Iterator[Breach]:
    vm = scenario.vm
    if vm.start.endswith("2m") and vm.page_order == 0:
        yield (
            "vm.start",
            f'found "{vm.start}", expected "mapped-4k" or "unaccepted" with '
            f"vm.page_order = {vm.page_order}",
        )


def _pinned(scenario: Scenario) -> Iterator[Breach]:
    """Nobody has published how a leaf is split of which the guest holds a part."""
    vm = scenario.vm
    if vm.td_pinned and (vm.start.endswith("2m") or vm.accept_level != "4k"):
        found = f'found true with vm.start = "{vm.start}" and vm.accept_level = "{vm.accept_level}"'
        text = 'expected leaves of 4 KiB: "mapped-4k" or "unaccepted", and "4k"'
        yield "vm.td_pinned", f"{found}, {text}"


def _protocol(scenario: Scenario) -> Iterator[Breach]:
    """Parameters that a protocol's table has no rows for."""
    protocol = scenario.protocol
    mark = MARKS.get(protocol.mark)
    if mark and mark.trace in LACKS and not PROTOCOLS[protocol.name].hears(Event.POISONED):
        lacks = f"{protocol.name} {LACKS[mark.trace]}"
        yield "protocol.mark", f'found "{protocol.mark}", expected refcount or none: {lacks}'
    if mark and mark.takes and protocol.post_commit_check == "fail-efault":
        text = f'found "fail-efault", expected none: with mark = "{protocol.mark}" marks are looked for'
        yield "protocol.post_commit_check", text
    if protocol.store_first and protocol.zap_first != "yes":
        text = f'found true with protocol.zap_first = "{protocol.zap_first}", expected one of the two orders'
        yield "protocol.store_first", text
    if protocol.name == "in-place" and scenario.vm.page_order:
        text = f"found {scenario.vm.page_order}, expected 0: in-place knows 4 KiB folios only"
        yield "vm.page_order", text


def _logs(scenario: Scenario) -> Iterator[Breach]:
    for index, workload in enumerate(scenario.workload):
        if isinstance(workload, Trace) and not workload.log:
            yield f"workload.{index}.log", "found no log, expected one or more QEMU trace logs"


def _room(scenario: Scenario) -> Iterator[Breach]:
    """Ranges have to lie inside the VM's memory."""
    memory = scenario.vm.memory
    room = f"at most vm.memory ({format_size(memory)})"
    for index, workload in enumerate(scenario.workload):
        match workload:
            case Churn(size_max=longest) if longest > memory:
                text = f'found "{format_size(longest)}", expected {room}'
                yield f"workload.{index}.size_max", text
            case HotRange(region=region, vcpus=vcpus) if region * vcpus > memory:
                text = f'found "{format_size(region)}" for each of {vcpus} vCPUs, expected {room}'
                yield f"workload.{index}.region", text
            case Hostile(size=size) if size > memory:
                yield f"workload.{index}.size", f'found "{format_size(size)}", expected {room}'
            case PoolWorkload(pool=size) if size > memory:
                yield f"workload.{index}.pool", f'found "{format_size(size)}", expected {room}'
            case DmaStorm(pool=size) if size >= memory:
                text = f'found "{format_size(size)}", expected less than vm.memory'
                yield f"workload.{index}.pool", f"{text} ({format_size(memory)})"
            case Balloon() if scenario.vm.page_order == 18:
                text = 'found "balloon", expected vm.page_order 0 or 9: its blocks are 2 MiB'
                yield f"workload.{index}.kind", text
            case Balloon(size=size) if size > memory:
                yield f"workload.{index}.size", f'found "{format_size(size)}", expected {room}'
            case Shutdown(shared=size) if size > memory:
                yield f"workload.{index}.shared", f'found "{format_size(size)}", expected {room}'
            case Sweep(write_size=size) if size > memory:
                yield (
                    f"workload.{index}.write_size",
                    f'found "{format_size(size)}", expected {room}',
                )


def _scripts(scenario: Scenario) -> Iterator[Breach]:
    """What is to be done has to be legible, and inside the VM's memory."""
    memory = scenario.vm.memory
    for index, workload in enumerate(scenario.workload):
        for number, text in enumerate(workload.lanes if isinstance(workload, Script) else ()):
            where = f"workload.{index}.lanes.{number}"
            try:
                end = max(line.end for line in lines_of(text)) * PAGE_BYTES
            except ValueError as error:
                yield where, str(error)
                continue
            if end > memory:
                room = f"at most vm.memory ({format_size(memory)})"
                yield where, f'found memory up to "{format_size(end)}", expected {room}'


def _shares(scenario: Scenario) -> Iterator[Breach]:
    for index, workload in enumerate(scenario.workload):
        if isinstance(workload, NotifierStorm) and workload.chains + workload.reaper > 1:
            text = f"found {workload.reaper}, expected at most 1 - workload.{index}.chains"
            yield f"workload.{index}.reaper", f"{text} ({1 - workload.chains:g})"


def _believed(scenario: Scenario) -> Iterator[Breach]:
    """A guest that writes during a sweep has to know on which side a page is."""
    for index, workload in enumerate(scenario.workload):
        if isinstance(workload, Sweep) and workload.writers and scenario.vm.start == "unaccepted":
            yield (
                f"workload.{index}.writers",
                f'found {workload.writers}, expected 0 with vm.start = "unaccepted"',
            )


def _devices(scenario: Scenario) -> Iterator[Breach]:
    """DMA needs somebody who does it, and modes of the VMM and the IOMMU have to go together."""
    vm, vmm = scenario.vm, scenario.vmm
    if vm.backend == "two-backends" and vm.iommu != "pin":
        text = f'found "{vm.iommu}", expected "pin": another file\'s memory is no affair of guest_memfd\'s'
        yield "vm.iommu", text
    if not vmm.listeners and vm.devices and vm.backend != "two-backends":
        yield "vmm.listeners", 'found 0, expected 1 or more, or vm.backend = "two-backends"'
    if vmm.unmap == "on-eagain" and (vm.iommu != "pin" or vmm.retry != "cooperative"):
        text = (
            'found "on-eagain", expected "first", or vm.iommu = "pin" and vmm.retry = "cooperative"'
        )
        yield "vmm.unmap", text
    for index, workload in enumerate(scenario.workload):
        if isinstance(workload, DmaStorm) and not vm.devices:
            yield "vm.devices", f"found 0, expected 1 or more: workload.{index} is dma-storm"


def _files(scenario: Scenario) -> Iterator[Breach]:
    """What another VM does with the shared side takes that it is the inode's, and a load that tells it."""
    files = scenario.vm.files_per_inode
    if files == 1:
        return
    if scenario.vm.backend == "two-backends":
        text = (
            f'found {files}, expected 1: with vm.backend = "two-backends" another inode is shared'
        )
        yield "vm.files_per_inode", text
    for index, workload in enumerate(scenario.workload):
        if isinstance(workload, DmaStorm):
            text = f"found {files}, expected 1: workload.{index} is dma-storm"
            yield "vm.files_per_inode", text


def _windows(scenario: Scenario) -> Iterator[Breach]:
    for index, fault in enumerate(scenario.fault):
        if fault.until_ns and fault.until_ns <= fault.start_ns:
            yield (
                f"fault.{index}.until",
                f'found "{format_duration(fault.until_ns)}", expected more than '
                f"fault.{index}.from ({format_duration(fault.start_ns)}), or 0ns for no end",
            )


def _schedules(scenario: Scenario) -> Iterator[Breach]:
    """A schedule leaves nothing to chance, and a fault has one."""
    for index, fault in enumerate(scenario.fault):
        schedule = "nth" if fault.nth else "every"
        if (fault.nth or fault.every) and fault.probability != 1:
            yield (
                f"fault.{index}.probability",
                f"found {fault.probability:g}, expected 1 beside fault.{index}.{schedule}",
            )
        if fault.also and not fault.lasts:
            text = "expected the time for which it fails"
            yield (
                f"fault.{index}.also",
                f"found {quote(fault.also[0])} and no fault.{index}.lasts, {text}",
            )
        if fault.nth and fault.every:
            yield (
                f"fault.{index}.every",
                f"found {fault.every}, expected 0 beside fault.{index}.nth",
            )


def _ranges(scenario: Scenario) -> Iterator[Breach]:
    """Of memory that exists; how much a trace's VM has only its log knows."""
    traced = any(isinstance(workload, Trace) for workload in scenario.workload)
    memory = scenario.vm.memory
    for index, fault in enumerate(scenario.fault):
        where = f"fault.{index}.range"
        if not fault.memory:
            continue
        if len(fault.memory) != 2:
            text = 'expected two: where it begins and ends, such as ["4MiB", "6MiB"]'
            yield where, f"found {len(fault.memory)} of the sizes, {text}"
            continue
        start, end = fault.memory
        found = f'found an end of "{format_size(end)}", expected'
        if start >= end:
            yield where, f"{found} more than the beginning ({format_size(start)})"
        elif end > memory and not traced:
            yield where, f"{found} at most vm.memory ({format_size(memory)})"


def _vms(scenario: Scenario) -> Iterator[Breach]:
    fleet = scenario.fleet
    room = fleet.hosts * fleet.vms_per_host
    if fleet.vms > room:
        text = f"found {fleet.vms}, expected at most {room} (fleet.hosts times fleet.vms_per_host)"
        yield "fleet.vms", text


def _timelines(scenario: Scenario) -> Iterator[Breach]:
    """Only of VMs that there are, or may be."""
    for text in scenario.metrics.timelines:
        try:
            recorded(scenario, text)
        except ValueError as error:
            yield "metrics.timelines", f"found {quote(text)}, expected {error}"


def _readmission(scenario: Scenario) -> Iterator[Breach]:
    """What a VM needs that comes after another."""
    fleet, vm = scenario.fleet, scenario.vm
    if fleet.reuse != "readmit":
        return
    found = 'found "readmit", expected'
    if fleet.vms_per_host * fleet.generations > VMS_MAX:
        yield (
            "fleet.generations",
            f"found {fleet.generations}, expected at most {VMS_MAX} VMs of a host in all",
        )
    if vm.files_per_inode > 1:
        yield "fleet.reuse", f"{found} others or nobody: vm.files_per_inode is {vm.files_per_inode}"
    if vm.memory % (PAGE_BYTES << vm.page_order):
        yield "fleet.reuse", f"{found} vm.memory of whole folios, for they are granted whole"
    for index, workload in enumerate(scenario.workload):
        if isinstance(workload, STAYING):
            text = f"{found} others or nobody: nobody can go on with workload.{index} ({workload.kind})"
            yield "fleet.reuse", text


def _places(scenario: Scenario) -> Iterator[Breach]:
    fleet = scenario.fleet
    for index, fault in enumerate(scenario.fault):
        for key, numbers, size in (
            ("hosts", fault.hosts, fleet.hosts),
            ("vms", fault.vms, fleet.vms_per_host),
        ):
            if numbers and max(numbers) >= size:
                text = f"found {max(numbers)}, expected numbers from 0 to {size - 1}"
                yield f"fault.{index}.{key}", text


def _stagger(scenario: Scenario) -> Iterator[Breach]:
    fleet = scenario.fleet
    starts = fleet.stagger * (fleet.vms or fleet.hosts * fleet.vms_per_host)
    if starts > TIME_NS_MAX:
        text = f'found "{format_duration(fleet.stagger)}": the last VM would start after 36 years'
        yield "fleet.stagger", text


RULES: tuple[Callable[[Scenario], Iterator[Breach]], ...] = (
    _start,
    _pinned,
    _protocol,
    _logs,
    _room,
    _scripts,
    _shares,
    _believed,
    _devices,
    _files,
    _windows,
    _schedules,
    _ranges,
    _vms,
    _timelines,
    _readmission,
    arrivals.breaches,
    moves.breaches,
    _stagger,
    _places,
)
