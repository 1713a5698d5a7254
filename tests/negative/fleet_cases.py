"""Bugs of a fleet to which VMs come: (ids of the checks that find it, the bug, what happens, overrides)."""

from typing import Any

from pytest import MonkeyPatch

from actors.address import CONTROLLER, LOAD
from actors.contract import Context
from actors.fleet import messages as f
from actors.fleet.controller import Controller
from actors.fleet.host_agent import HostAgent
from actors.fleet.messages import No
from tests.helpers import World

ARRIVING = (
    "fleet.vms_per_host=4",
    "fleet.reuse=readmit",
    "vm.start=unaccepted",
    "arrivals.kind=closed",
    "arrivals.population=6",
    "arrivals.lifetime=5ms",
    "arrivals.pause=1ms",
    "arrivals.boots=1",
    "scenario.duration=20ms",
    'costs.override={"boot_fixed"="1ms","hkid_reclaim"="300us"}',
)


def they_come(world: World) -> None:
    """As many as there may be, for as long as the run is."""
    for vm in range(world.plan.vms):
        world.restore(LOAD, vm)
    world.post(CONTROLLER, f.Arrive(following=True), vm=-1)
    world.run()


def ask_twice(world: World, patch: MonkeyPatch) -> None:
    """The controller sends a request once more, as if the first one had got lost, and takes both answers for good."""
    serve = Controller.serve

    def placed(controller: Controller, message: f.Placed, context: Context) -> None:
        controller.came.setdefault(message.arrival, context.now)
        controller.on_placed(message, context)

    def again(controller: Controller, context: Context) -> None:
        serve(controller, context)
        if context.now == 1:
            controller.queue.insert(0, 0)
            serve(controller, context)

    patch.setattr(Controller, "serve", again)
    world.replace(CONTROLLER, f.Placed, placed, vm=-1)


def boot_all_at_once(_: World, patch: MonkeyPatch) -> None:
    """The agent looks for a place alone."""
    patch.setattr(HostAgent, "objection", lambda agent: No.NONE if agent.free else No.FULL)


def forget_the_refused(world: World, _: MonkeyPatch) -> None:
    """The controller has no use for a no."""

    def placed(controller: Controller, message: f.Placed, context: Context) -> None:
        if message.no is No.NONE:
            controller.on_placed(message, context)

    world.replace(CONTROLLER, f.Placed, placed, vm=-1)


CASES: list[tuple[str, Any, Any, tuple[str, ...]]] = [
    ("I24", ask_twice, they_come, (*ARRIVING, "arrivals.boots=4")),
    ("I25", boot_all_at_once, they_come, ARRIVING),
    ("L9", forget_the_refused, they_come, ARRIVING),
]
