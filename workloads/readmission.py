"""Which VM comes after which on a host, and on what frames, where places are taken again (fleet.reuse = readmit)."""

from collections.abc import Sequence

from actors.address import vm_address
from actors.admission import Admissions
from actors.contract import PAGE_BYTES, PAGES_2M
from workloads.plan import Plan
from workloads.vm_shape import Shape


def admissions(plan: Plan, host: int, first: Sequence[Shape]) -> Admissions:
    """The VM with number n + places comes after number n; of frames, `first` have the lowest."""
    places = plan.scenario.fleet.vms_per_host
    vm = plan.scenario.vm
    unit = max(PAGES_2M, 1 << vm.page_order)
    successors = {}
    for earlier in range(0, places * (plan.generations - 1), places):
        for number in range(earlier, earlier + len(first)):
            successors[int(vm_address(host, number))] = int(vm_address(host, number + places))
    pages = vm.memory // PAGE_BYTES
    return Admissions(successors, pages, unit, -(-len(first) * pages // unit) * unit)
