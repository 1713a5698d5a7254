"""The fault plan of a run, from its scenario."""

from actors.contract import PAGE_BYTES, Reason
from actors.tdx.contention import ACCEPTING, BACKGROUND, STORM
from cluster.fault_points import CLASSES
from cluster.faults import FaultRule
from workloads import cost_table
from workloads.scenario import Fault, Scenario


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
