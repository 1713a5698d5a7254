"""From a plan to the hosts of one partition, with all that watches them."""

from collections.abc import Sequence
from functools import partial

from actors import messages as m
from actors.contract import Actor, Message
from actors.fleet import messages as fleet_messages
from actors.fleet import move_messages
from cluster.batch import message_types
from cluster.costs import CostModel
from cluster.faults import FaultPlan
from cluster.world import Feed, World
from workloads.census import all_counts, backlog
from workloads.checkers import checkers
from workloads.fault_rules import fault_rules
from workloads.fleet_meter import FleetMeter
from workloads.host_builder import HostBuilder
from workloads.meter import Meter
from workloads.moves_meter import MovesMeter
from workloads.plan import DECODER, Plan
from workloads.queues import Queues
from workloads.recorder import Recorder
from workloads.scenario.recorded import all_recorded
from workloads.settling import Settling


def build(encoded: bytes, hosts: Sequence[int]) -> World:
    """The hosts of one partition (cluster.world.Build)."""
    plan = DECODER.decode(encoded)
    scenario = plan.scenario
    world = World(
        seed=scenario.scenario.seed,
        actors={},
        first=[],
        costs=CostModel({cost.name: cost for cost in plan.costs}),
        faults=FaultPlan(scenario.scenario.seed, fault_rules(scenario)),
        watchers={
            "meter": meter(plan),
            "queues": Queues(plan),
            **checkers(plan),
            **recorder(plan),
            **settling(plan),
        },
        feeds={},
        census=all_counts,
        backlog=partial(backlog, scenario.scenario.duration),
    )
    actors: dict[int, dict[int, Actor]] = {}
    first: list[tuple[int, int, Message]] = []
    feeds: dict[int, Feed] = {}
    for host in hosts:
        builder = HostBuilder(plan, host)
        actors[host] = builder.build()
        first += builder.first
        feeds |= builder.loads.feeds
    world.actors, world.first, world.feeds = actors, first, feeds
    if plan.arrives:
        world.types = message_types(m, fleet_messages, move_messages)
    return world


def meter(plan: Plan) -> Meter:
    """What counts, and of arriving VMs their requests, too."""
    name, fleet = plan.scenario.protocol.name, plan.scenario.fleet
    if not plan.arrives:
        return Meter(name)
    kind = MovesMeter if plan.moves else FleetMeter
    return kind(name, fleet.vms_per_host * (plan.generations - 1))


def recorder(plan: Plan) -> dict[str, Recorder]:
    """Who writes timelines down, where somebody wants one."""
    vms = all_recorded(plan.scenario)
    return {"recorder": Recorder(vms)} if vms else {}


def settling(plan: Plan) -> dict[str, Settling]:
    """Who keeps all latencies, where those of the beginning are to be left out."""
    return {"settling": Settling()} if plan.scenario.scenario.warm_up == "mser-5" else {}
