"""What a host has where VMs arrive: its agent, and on host 0 the fleet's controller."""

from actors.address import AGENT, CONTROLLER, host_address, vm_address
from actors.contract import Actor, Message
from actors.fleet import messages as f
from actors.fleet.controller import Controller
from actors.fleet.host_agent import HostAgent
from actors.fleet.move_messages import MoveTime, Timer
from actors.fleet.moving_agent import MovingAgent
from actors.fleet.moving_controller import MovingController
from workloads.arrivals import program
from workloads.moves import Drawn
from workloads.plan import Plan


def agents(plan: Plan, host: int, successors: dict[int, int]) -> dict[int, Actor]:
    """Address -> actor; `successors` is VM -> who comes after it in its place."""
    base = host_address(host)
    found: dict[int, Actor] = {base | AGENT: agent(plan, host, successors)}
    if not host:
        found[base | CONTROLLER] = controller(plan)
    return found


def agent(plan: Plan, host: int, successors: dict[int, int]) -> HostAgent:
    """A host's; all its places are free."""
    free = [(int(vm_address(host, number)), 0) for number in range(plan.vms_of(host))]
    boots = plan.scenario.arrivals.boots
    parts = (host_address(host), host_address(0) | CONTROLLER, boots, free, successors)
    if plan.moves:
        return MovingAgent(*parts, patience=plan.scenario.moves.patience)
    return HostAgent(*parts)


def controller(plan: Plan) -> Controller:
    """The fleet's."""
    how, moves, hosts = plan.scenario.arrivals, plan.scenario.moves, plan.scenario.fleet.hosts
    parts = (
        program(plan.scenario, plan.arrivals),
        how.policy,
        plan.scenario.scenario.duration,
        how.queue,
        [plan.vms_of(number) for number in range(hosts)],
        [0] * hosts,
        [0] * hosts,
    )
    if not plan.moves:
        return Controller(*parts)
    evacuate = list(moves.hosts) if moves.kind == "evacuate" else []
    return MovingController(
        *parts,
        moves=Drawn(plan.scenario),
        evacuate=evacuate,
        away=moves.away,
        pause=moves.pause,
    )


def first_request(plan: Plan, host: int) -> list[tuple[int, int, Message]]:
    """(time, actor, message): whoever comes first, at the controller; nothing on other hosts, or if nobody comes."""
    wait = None if host else program(plan.scenario, plan.arrivals).wait(0)
    if wait is None:
        return []
    return [(1 + wait, host_address(0) | CONTROLLER, f.Arrive(following=True))]


def first_move(plan: Plan, host: int) -> list[tuple[int, int, Message]]:
    """The same for the first one that moves, or the first host that is evacuated."""
    if host:
        return []
    wait = Drawn(plan.scenario).wait(0)
    at, timer = (plan.scenario.moves.at, Timer.EVACUATE) if wait is None else (1 + wait, Timer.MOVE)
    return [(at, host_address(0) | CONTROLLER, MoveTime(timer))]
