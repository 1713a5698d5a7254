"""Bugs of a fleet in which VMs move: (ids of the checks that find it, the bug, overrides)."""

from collections.abc import Callable, Iterator

import msgspec
from pytest import MonkeyPatch

from actors import messages as m
from actors.address import VMM
from actors.contract import Context, Share
from actors.fleet import carry
from actors.fleet import move_messages as v
from actors.fleet.move_messages import Phase
from actors.fleet.moving_agent import MovingAgent
from actors.gmem import frames as gmem_frames
from actors.gmem.inode import Gmem
from actors.intervals import IntervalMap
from tests.fleets import LOADS, MOVING
from workloads.loads.moving import MovingLoad

TRANSFER_FAILS = 'fault=[{point="move.transfer",nth=1}]'
Plant = Callable[[MonkeyPatch], None]
Begin = Callable[[MovingLoad, v.Image, Context], None]
BALLOON = (*MOVING, f"workload=[{{kind='balloon',{LOADS['balloon']}}}]")
IMPORT_FAILS = 'fault=[{point="tdx.aug_busy",reason="bug",hosts=[0,2],from="12ms",probability=1.0}]'


def handle(patch: MonkeyPatch, actor: type, message: type, handler: Callable[..., None]) -> None:
    """Another handler for this kind of message, at all actors of a kind."""
    patch.setattr(actor, "HANDLERS", {**actor.HANDLERS, message: handler})  # type: ignore[attr-defined]


def run_on_while_it_travels(patch: MonkeyPatch) -> None:
    """The vCPUs are let go as soon as the image is made."""
    own = MovingLoad.rest

    def rest(load: MovingLoad, context: Context) -> None:
        own(load, context)
        if load.going and not load.tasks:
            load.going = None
            for lane in range(load.program.lanes):
                context.after(1, m.Tick(lane))

    patch.setattr(MovingLoad, "rest", rest)


def run_before_it_is_imported(patch: MonkeyPatch) -> None:
    """The target says so as soon as it has the image."""
    own = MovingAgent.on_carried

    def carried(agent: MovingAgent, message: v.Carried, context: Context) -> None:
        image = message.image
        if image.to in agent.coming:
            agent.tell(image.arrival, image.to, Phase.RUNS, context)
        own(agent, message, context)

    handle(patch, MovingAgent, v.Carried, carried)


def let_go_when_sent(patch: MonkeyPatch) -> None:
    """The source gives the memory back once it has sent it."""
    own = MovingAgent.send_off

    def send_off(agent: MovingAgent, image: v.Image, context: Context) -> None:
        own(agent, image, context)
        context.send(image.vm | VMM, m.Exit(), context.link)

    patch.setattr(MovingAgent, "send_off", send_off)


def send_too_little(patch: MonkeyPatch) -> None:
    """guest_memfd forgets the last range that is shared."""
    own = carry.only

    def only(table: IntervalMap, first: int, last: int, value: int, shift: int = 0) -> v.Ranges:
        found = own(table, first, last, value, shift)
        return found[:-1] if value is Share.SHARED else found

    patch.setattr(carry, "only", only)


def take_shared_for_private(patch: MonkeyPatch) -> None:
    """The target imports what is private, and leaves the rest as it finds it."""

    def take_in(load: MovingLoad, image: v.Image, context: Context) -> None:
        load.accept(image, context)

    patch.setattr(MovingLoad, "take_in", take_in)


def as_if(begin: Begin) -> Begin:
    """It begins as the image has it, not as the one that a bug has made of it."""

    def whole(load: MovingLoad, _: v.Image, context: Context) -> None:
        assert load.image
        begin(load, load.image, context)

    return whole


def accept_too_little(patch: MonkeyPatch) -> None:
    """The target forgets the last range."""
    accept = MovingLoad.accept

    def less(load: MovingLoad, image: v.Image, context: Context) -> None:
        accept(load, msgspec.structs.replace(image, accepted=image.accepted[:-1]), context)

    patch.setattr(MovingLoad, "accept", less)
    patch.setattr(MovingLoad, "begin", as_if(MovingLoad.begin))


def leave_no_hole(patch: MonkeyPatch) -> None:
    """The target fills a balloon that the guest holds for full."""
    accept = MovingLoad.accept

    def filled(load: MovingLoad, image: v.Image, context: Context) -> None:
        accept(load, msgspec.structs.replace(image, holes=()), context)

    patch.setattr(MovingLoad, "accept", filled)
    patch.setattr(MovingLoad, "begin", as_if(MovingLoad.begin))


def leave_the_source_waiting(patch: MonkeyPatch) -> None:
    """The target keeps to itself that it has given up."""
    handle(patch, MovingAgent, v.GoOn, lambda *_: None)


def keep_the_place_of_who_does_not_come(patch: MonkeyPatch) -> None:
    """The target is told that the move has failed, and its load does not let the VMM go."""
    own = MovingLoad.on_discard

    def discard(load: MovingLoad, message: v.Discard, context: Context) -> None:
        if message.moved:
            own(load, message, context)

    handle(patch, MovingLoad, v.Discard, discard)


def keep_what_has_moved(patch: MonkeyPatch) -> None:
    """The source is told that the VM runs elsewhere, and leaves its VMM as it is."""
    own = MovingLoad.on_discard

    def discard(load: MovingLoad, message: v.Discard, context: Context) -> None:
        if not message.moved:
            own(load, message, context)

    handle(patch, MovingLoad, v.Discard, discard)


def free_all_but_the_last_run(patch: MonkeyPatch) -> None:
    """A file that is torn down frees a run of frames too few."""
    own = gmem_frames.runs

    def runs(gmem: Gmem, start: int, end: int) -> Iterator[tuple[int, int, int]]:
        found = list(own(gmem, start, end))
        last = gmem.bindings[-1].index + gmem.bindings[-1].pages
        return iter(found[:-1] if gmem.torn_down and end == last else found)

    patch.setattr(gmem_frames, "runs", runs)


def forget_the_place(patch: MonkeyPatch) -> None:
    """The TD is gone, and the agent makes nothing of it."""
    own = MovingAgent.on_reclaim

    def reclaim(agent: MovingAgent, message: m.Reclaim, context: Context) -> None:
        if message.vm not in agent.discarded:
            own(agent, message, context)

    handle(patch, MovingAgent, m.Reclaim, reclaim)


CASES: list[tuple[str, Plant, tuple[str, ...]]] = [
    ("I27", run_on_while_it_travels, MOVING),
    ("I27", run_before_it_is_imported, MOVING),
    ("I28", let_go_when_sent, MOVING),
    ("I29", send_too_little, MOVING),
    ("I29", take_shared_for_private, MOVING),
    ("I29", accept_too_little, MOVING),
    ("I29", leave_no_hole, BALLOON),
    ("L10", leave_the_source_waiting, (*MOVING, IMPORT_FAILS)),
    ("L11", keep_the_place_of_who_does_not_come, (*MOVING, TRANSFER_FAILS)),
    ("L11", keep_what_has_moved, MOVING),
    ("L11", free_all_but_the_last_run, MOVING),
    ("L11", forget_the_place, (*MOVING, IMPORT_FAILS)),
]
