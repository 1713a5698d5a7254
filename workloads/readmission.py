"""Which VM comes after which on a host, and on what frames, where places are taken again (fleet.reuse = readmit)."""

from collections.abc import Sequence

from actors.address import AGENT, host_address, vm_address
from actors.contract import PAGE_BYTES, PAGES_2M
from actors.fleet.admission import Admissions
from workloads.plan import Plan
from workloads.vm_shape import Shape


def admissions(plan: Plan, host: int, first: Sequence[Shape]) -> Admissions:
    """The VM with number n + places comes after number n; of frames, `first` have the lowest."""
    vm = plan.scenario.vm
    unit = max(PAGES_2M, 1 << vm.page_order)
    pages = vm.memory // PAGE_BYTES
    if plan.arrives:  # nobody is there, and the host's agent knows who comes after whom
        return Admissions({}, pages, unit, 0, host_address(host) | AGENT)
    return Admissions(successors_of(plan, host), pages, unit, -(-len(first) * pages // unit) * unit)


def successors_of(plan: Plan, host: int) -> dict[int, int]:
    """VM -> who comes after it in its place."""
    places, taken = plan.scenario.fleet.vms_per_host, plan.vms_of(host)
    return {
        int(vm_address(host, number)): int(vm_address(host, number + places))
        for earlier in range(0, places * (plan.generations - 1), places)
        for number in range(earlier, earlier + taken)
    }
