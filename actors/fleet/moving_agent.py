"""The agent of a host between which and others VMs move: sends them off, takes them in, and knows who has them.

A VM runs at its source until all its vCPUs are quiet, and from then on nowhere until it is imported. Up to the end of
the transfer the source may call the move off by itself. After that only the target can: the source waits for its word,
as the TDX module has it (start token, abort token). So no word that is late makes it run twice, or be lost.
"""

from typing import ClassVar

import msgspec

from actors import messages as m
from actors.address import AGENT, ALLOCATOR, LOAD, host_base
from actors.contract import PAGES_2M, Context, opportunity
from actors.fleet import messages as f
from actors.fleet import move_messages as v
from actors.fleet.host_agent import HostAgent
from actors.fleet.messages import No
from actors.fleet.move_messages import Phase
from actors.fleet.move_observations import MoveSettled


class Leaving(msgspec.Struct):
    """A VM that is to be `to` elsewhere. `dead`: it has died here after it was sent."""

    arrival: int
    to: int
    timer: int
    sent: bool = False
    dead: bool = False


class MovingAgent(HostAgent):
    """`leaving` is VM -> what is to become of it, `coming` VM of this host -> (arrival, VM that it still is).

    `discarded` never lived here, or do no more; `patience` is how long (ns) vCPUs may take to come to rest.
    """

    patience: int = 0
    leaving: dict[int, Leaving] = {}
    coming: dict[int, tuple[int, int]] = {}
    discarded: list[int] = []

    # --- at the target ---------------------------------------------------------------------------

    def on_receive(self, message: v.Receive, context: Context) -> None:
        """A place and frames for a VM that is going to move here, or a no."""
        no, vm = self.refusal(message.number, context), 0
        if no is No.NONE:
            vm, before = self.free.pop(0)
            self.coming[vm] = (message.arrival, message.vm)
            context.send(vm | LOAD, message, context.link)
            context.send(self.host | ALLOCATOR, f.AdmitVm(vm, before), context.link)
        answer = f.Placed(message.arrival, self.host, vm, no, len(self.free))
        context.send(self.controller, answer, context.cost("network"))

    def refusal(self, number: int, context: Context) -> No:
        """Why nobody can move in. The opportunity is the place's: only one host ever knows of it."""
        if not self.free:
            return No.FULL
        fault = context.choose("move.refused", 1, opportunity(self.free[0][0], number))
        return No.MEMORY if fault else No.NONE

    def on_carried(self, message: v.Carried, context: Context) -> None:
        """From guest_memfd, to be sent; or from another host, to be imported."""
        image = message.image
        if host_base(image.vm) == self.host:
            self.send_off(image, context)
        elif image.to in self.coming:
            self.tell(image.arrival, image.to, Phase.ARRIVED, context)
            context.send(image.to | LOAD, message, context.link)

    def on_imported(self, message: v.Imported, context: Context) -> None:
        """From here on there is one host that may run it: this one, or its source."""
        vm = message.vm
        if vm not in self.coming:
            return
        arrival, source = self.coming[vm]
        agent = host_base(source) | AGENT
        if message.runs:
            del self.coming[vm]
            self.living[vm] = arrival
            context.observe(MoveSettled(vm, True))
            context.send(agent, v.Discard(source, True), context.cost("network"))
            self.tell(arrival, vm, Phase.RUNS, context)
        else:
            self.discard_coming(vm, context)
            context.send(agent, v.GoOn(source), context.cost("network"))
            self.tell(arrival, vm, Phase.GAVE_UP, context)

    def discard_coming(self, vm: int, context: Context) -> None:
        """Nobody moves in; the place is free once it is torn down."""
        del self.coming[vm]
        self.discarded.append(vm)
        context.observe(MoveSettled(vm, False))
        context.send(vm | LOAD, v.Discard(vm, False), context.link)

    # --- at the source ---------------------------------------------------------------------------

    def on_move_out(self, message: v.MoveOut, context: Context) -> None:
        """Its vCPUs are to come to rest, if it is still there."""
        vm = message.vm
        if self.living.get(vm) != message.arrival:
            self.forget(message.to, context)
            self.tell(message.arrival, vm, Phase.GONE, context)
            return
        timer = context.after(self.patience, v.CallOff(vm, Phase.NOT_QUIET))
        self.leaving[vm] = Leaving(message.arrival, message.to, timer)
        context.send(vm | LOAD, v.Pause(message.arrival, message.to), context.link)

    def send_off(self, image: v.Image, context: Context) -> None:
        """The vCPUs are at rest: all that has contents crosses the link, unless the move was called off meanwhile."""
        leaving = self.leaving.get(image.vm)
        if leaving is None or leaving.to != image.to:
            return
        context.cancel(leaving.timer)
        if not image.whole:
            self.call_off(image.vm, Phase.UNMOVABLE, context)
            return
        self.tell(image.arrival, image.vm, Phase.QUIET, context)
        took = context.cost("transfer_page", max(1, image.pages))
        blocks = max(1, -(-image.pages // PAGES_2M))
        key = opportunity(image.vm, image.to)
        fault = context.choose("move.transfer", blocks, key, PAGES_2M)
        if fault:
            lost = max(1, took * (fault.first + 1) // blocks)
            leaving.timer = context.after(lost, v.CallOff(image.vm, Phase.BROKEN))
            return
        leaving.sent = True
        target = host_base(image.to) | AGENT
        context.send(target, v.Carried(image), took + context.cost("network"))

    def on_call_off(self, message: v.CallOff, context: Context) -> None:
        """Not everything is sent, so it is ours to say."""
        self.call_off(message.vm, message.phase, context)

    def call_off(self, vm: int, phase: Phase, context: Context) -> None:
        """It stays here, as if nothing had been."""
        leaving = self.stays(vm, context)
        self.forget(leaving.to, context)
        self.tell(leaving.arrival, vm, phase, context)

    def on_go_on(self, message: v.GoOn, context: Context) -> None:
        """The target will never run it."""
        vm = message.vm
        leaving = self.leaving[vm]
        if leaving.dead:
            del self.leaving[vm]
            self.news(leaving.arrival, True, context)
            self.tell(leaving.arrival, vm, Phase.DIED, context)
        else:
            self.stays(vm, context)
            self.tell(leaving.arrival, vm, Phase.BACK, context)

    def stays(self, vm: int, context: Context) -> Leaving:
        """It goes on here."""
        context.observe(MoveSettled(vm, True))
        context.send(vm | LOAD, v.GoOn(vm), context.link)
        return self.leaving.pop(vm)

    def on_discard(self, message: v.Discard, context: Context) -> None:
        """The source has called the move off, or the target runs the VM."""
        vm = message.vm
        if not message.moved:
            if vm in self.coming:
                self.discard_coming(vm, context)
            return
        leaving = self.leaving.pop(vm)
        if not leaving.dead:
            del self.living[vm]
            self.discarded.append(vm)
            context.observe(MoveSettled(vm, False))
            context.send(vm | LOAD, message, context.link)
        self.tell(leaving.arrival, vm, Phase.RELEASED, context)

    def forget(self, to: int, context: Context) -> None:
        """Tell the target that nobody comes."""
        context.send(host_base(to) | AGENT, v.Discard(to, False), context.cost("network"))

    # --- at either -------------------------------------------------------------------------------

    def on_reclaim(self, message: m.Reclaim, context: Context) -> None:
        """A VM is gone for good; one that has moved, or was to, is not gone from the fleet by that."""
        vm = message.vm
        if vm in self.coming:  # it has died of its import
            self.on_imported(v.Imported(vm, False), context)
        if vm in self.discarded:
            self.discarded.remove(vm)
            self.free_place(vm, -1, False, context)
            return
        leaving = self.leaving.get(vm)
        if leaving and leaving.sent:  # the target says what becomes of it
            leaving.dead = True
            del self.living[vm]
            self.free_place(vm, -1, False, context)
            return
        if leaving:
            del self.leaving[vm]
            context.cancel(leaving.timer)
            self.forget(leaving.to, context)
            self.tell(leaving.arrival, vm, Phase.GONE, context)
        super().on_reclaim(message, context)

    def tell(self, arrival: int, vm: int, phase: Phase, context: Context) -> None:
        """The controller."""
        news = v.MoveNews(arrival, vm, phase)
        context.send(self.controller, news, context.cost("network"))

    HANDLERS: ClassVar = {
        **HostAgent.HANDLERS,
        m.Reclaim: on_reclaim,
        v.Receive: on_receive,
        v.MoveOut: on_move_out,
        v.Carried: on_carried,
        v.CallOff: on_call_off,
        v.GoOn: on_go_on,
        v.Discard: on_discard,
        v.Imported: on_imported,
    }
