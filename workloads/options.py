"""What actors are told of a scenario: the protocol's parameters, the VMM's policy, how devices see memory."""

from typing import Any

import msgspec

from actors.iommu.driver import APART, Iommu
from actors.kvm.memory import AT_SPLIT, PageCache
from actors.protocols import PROTOCOLS, Event, FileOptions, Options
from actors.vmm.listeners import Follow
from actors.vmm.retry import POLICIES, Policy
from workloads.scenario import Scenario


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
    found = Iommu(host, timeout, {}, mode, vm.inval_fail == "hang", listeners)
    if scenario.fleet.iommu_queues == "vm":
        found.own = {}
    return found


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


def failable(scenario: Scenario) -> bool:
    """May mmu_notifiers fail? Only where the protocol wants failing callbacks, and not for guest_memfd's alone."""
    protocol = scenario.protocol
    return protocol.name == "failable-notifier" and protocol.notifier_scope == "mmu_notifier"


def policy(scenario: Scenario) -> Policy:
    """The VMM's retry policy."""
    vmm = scenario.vmm
    return POLICIES[vmm.retry](vmm.retry_tries, vmm.retry_first, vmm.retry_max)
