"""The agent of a host: takes VMs that the controller sends, as far as there are places and boots allowed at once.

A place is free again once the HKID of the VM that had it is reclaimed; its next VM is another one, with an address of
its own (actors.fleet.admission). Places are taken in the order in which they became free.
"""

from typing import ClassVar

from actors import messages as m
from actors.address import ALLOCATOR, LOAD
from actors.contract import Actor, Context
from actors.fleet import messages as f
from actors.fleet.messages import No
from actors.fleet.observations import BootChanged, PlaceFreed


class HostAgent(Actor):
    """`free` has (VM that comes next, the one before or 0) of each free place; `booting`, `living` VM -> arrival.

    `successors` is VM -> who comes after it in its place; whoever has none is the last one there.
    """

    host: int
    controller: int
    boots: int  # at once, at most
    free: list[tuple[int, int]]
    successors: dict[int, int]
    booting: dict[int, int] = {}
    living: dict[int, int] = {}

    def on_place(self, message: f.Place, context: Context) -> None:
        """Yes or no, by what is so here and now."""
        no = self.objection()
        vm = 0
        if no is No.NONE:
            vm, before = self.free.pop(0)
            self.booting[vm] = message.arrival
            context.observe(BootChanged(vm, message.arrival, True))
            context.send(vm | LOAD, f.Lease(message.lifetime), context.link)
            context.send(self.host | ALLOCATOR, f.AdmitVm(vm, before), context.link)
        answer = f.Placed(message.arrival, self.host, vm, no, len(self.free))
        context.send(self.controller, answer, context.cost("network"))

    def objection(self) -> No:
        """Why no VM can be taken."""
        if not self.free:
            return No.FULL
        return No.BOOTS if len(self.booting) >= self.boots else No.NONE

    def on_boot_over(self, message: f.BootOver, context: Context) -> None:
        """Another one may boot. Whoever was gone before its boot was over has been told of already."""
        if message.vm in self.booting:
            self.living[message.vm] = self.end_boot(message.vm, context)
            self.news(self.living[message.vm], False, context)

    def on_reclaim(self, message: m.Reclaim, context: Context) -> None:
        """A VM is gone for good."""
        vm = message.vm
        arrival = self.end_boot(vm, context) if vm in self.booting else self.living.pop(vm)
        self.free_place(vm, arrival, True, context)

    def free_place(self, vm: int, arrival: int, left: bool, context: Context) -> None:
        """For another one; with `left` the fleet has lost the VM of this arrival."""
        context.observe(PlaceFreed(vm))
        successor = self.successors.pop(vm, 0)
        if successor:
            self.free.append((successor, vm))
        self.news(arrival, left, context)

    def end_boot(self, vm: int, context: Context) -> int:
        """Whose boot it was."""
        arrival = self.booting.pop(vm)
        context.observe(BootChanged(vm, arrival, False))
        return arrival

    def news(self, arrival: int, left: bool, context: Context) -> None:
        """Tell the controller that there is room."""
        news = f.HostNews(arrival, self.host, left, len(self.free))
        context.send(self.controller, news, context.cost("network"))

    HANDLERS: ClassVar = {
        f.Place: on_place,
        f.BootOver: on_boot_over,
        m.Reclaim: on_reclaim,
    }
