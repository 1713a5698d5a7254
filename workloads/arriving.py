"""What a host has where VMs arrive: its agent, and on host 0 the fleet's controller."""

from actors import fleet_messages as f
from actors.address import AGENT, CONTROLLER, host_address, vm_address
from actors.contract import Actor, Message
from actors.controller import Controller
from actors.host_agent import HostAgent
from workloads.arrivals import program
from workloads.plan import Plan


def agents(plan: Plan, host: int, successors: dict[int, int]) -> dict[int, Actor]:
    """Address -> actor; `successors` is VM -> who comes after it in its place."""
    how, base = plan.scenario.arrivals, host_address(host)
    free = [(int(vm_address(host, number)), 0) for number in range(plan.vms_of(host))]
    controller = host_address(0) | CONTROLLER
    found: dict[int, Actor] = {
        base | AGENT: HostAgent(base, controller, how.boots, free, successors)
    }
    if not host:
        hosts = plan.scenario.fleet.hosts
        found[controller] = Controller(
            program(plan.scenario, plan.arrivals),
            how.policy,
            plan.scenario.scenario.duration,
            how.queue,
            [plan.vms_of(number) for number in range(hosts)],
            [0] * hosts,
            [0] * hosts,
        )
    return found


def first_request(plan: Plan, host: int) -> list[tuple[int, int, Message]]:
    """(time, actor, message): whoever comes first, at the controller; nothing on other hosts, or if nobody comes."""
    wait = None if host else program(plan.scenario, plan.arrivals).wait(0)
    if wait is None:
        return []
    return [(1 + wait, host_address(0) | CONTROLLER, f.Arrive(following=True))]
