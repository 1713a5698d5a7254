"""What no key can say alone: rules between the keys of a scenario. Pure."""

from collections.abc import Callable, Iterator

from actors.protocols import PROTOCOLS, Event
from workloads.scenario.kinds import (
    Balloon,
    Churn,
    HotRange,
    NotifierStorm,
    PoolWorkload,
    Shutdown,
    Sweep,
    Trace,
)
from workloads.scenario.struct import Scenario
from workloads.units import format_duration, format_size

Breach = tuple[str, str]  # a key's dotted path, and what is wrong with it

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


def _protocol(scenario: Scenario) -> Iterator[Breach]:
    """Parameters that a protocol's table has no rows for."""
    protocol = scenario.protocol
    told = any(row.event is Event.POISONED for row in PROTOCOLS[protocol.name].rows)
    if protocol.mark == "callback" and not told:
        text = (
            f'found "callback", expected refcount or none: {protocol.name} has no poison callback'
        )
        yield "protocol.mark", text
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
            case PoolWorkload(pool=size) if size > memory:
                yield f"workload.{index}.pool", f'found "{format_size(size)}", expected {room}'
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


def _windows(scenario: Scenario) -> Iterator[Breach]:
    for index, fault in enumerate(scenario.fault):
        if fault.until_ns and fault.until_ns <= fault.start_ns:
            yield (
                f"fault.{index}.until",
                f'found "{format_duration(fault.until_ns)}", expected more than '
                f"fault.{index}.from ({format_duration(fault.start_ns)}), or 0ns for no end",
            )


def _vms(scenario: Scenario) -> Iterator[Breach]:
    fleet = scenario.fleet
    room = fleet.hosts * fleet.vms_per_host
    if fleet.vms > room:
        text = f"found {fleet.vms}, expected at most {room} (fleet.hosts times fleet.vms_per_host)"
        yield "fleet.vms", text


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
    _protocol,
    _logs,
    _room,
    _shares,
    _believed,
    _windows,
    _vms,
    _stagger,
    _places,
)
