"""VMs that are named as HOST/VM, by numbers from 0."""

import re

from actors.address import vm_address
from workloads.scenario.struct import Scenario


def recorded(scenario: Scenario, text: str) -> int:
    """The base address of a VM that the scenario has; a ValueError says what would be one."""
    fleet = scenario.fleet
    found = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", text)
    if not found:
        raise ValueError("HOST/VM such as 0/3")
    host, vm = map(int, found.groups())
    if host >= fleet.hosts:
        raise ValueError(f"a host from 0 to {fleet.hosts - 1}")
    later = fleet.reuse == "readmit"  # a place has one VM after the other
    places = fleet.vms_per_host * (fleet.generations if later else 1)
    if fleet.vms and not later:
        places = max(0, min(places, fleet.vms - host * fleet.vms_per_host))
    if vm >= places:
        raise ValueError(
            f"a VM of host {host}, from 0 to {places - 1}"
            if places
            else "another host: this one has no VMs"
        )
    return vm_address(host, vm)


def all_recorded(scenario: Scenario) -> tuple[int, ...]:
    """Base addresses of all VMs whose timelines are wanted, each once."""
    texts = scenario.metrics.timelines
    return tuple(dict.fromkeys(recorded(scenario, text) for text in texts))
