"""How much work each host is expected to be, so that partitions get equal shares (cluster.placement)."""

from workloads.plan import Plan
from workloads.vm_shape import fleet_number


def weights(plan: Plan) -> list[int]:
    """By host: the conversions that its VMs are going to ask for; their number where nothing tells."""
    hosts = range(plan.scenario.fleet.hosts)
    if not any(plan.logs) and not plan.scenario.scenario.conversions:
        return [plan.vms_of(host) for host in hosts]
    return [
        sum(weight(plan, fleet_number(plan, host, vm)) for vm in range(plan.vms_of(host)))
        for host in hosts
    ]


def weight(plan: Plan, number: int) -> int:
    """Conversions of one VM: its share of the fleet's, or what its log has, if that is less. At least 1."""
    quota, log = plan.quota_of(number), plan.log_of(number)
    found = [quota] if quota else []
    if log:
        found.append(log.conversions)
    return max(1, min(found, default=1))
