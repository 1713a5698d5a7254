"""The load of a VM that a fleet's controller has placed: it boots, does what its program says, and departs.

A boot is the acceptance of all memory, or, where the program is one of a boot, that program, and nothing after it.
"""

from typing import ClassVar

from actors import messages as m
from actors.address import AGENT, DEVICES, VMM, host_base
from actors.contract import Context, Reason
from actors.fleet import messages as f
from actors.observations import Booted
from workloads.loads.dma import drives_devices
from workloads.loads.tenant import Seat, TenantLoad


class ArrivedLoad(TenantLoad):
    """`lifetime` is ns from the end of the boot, which began at `began`. Nobody has the place once it is LEFT."""

    lifetime: int = 0
    began: int = 0

    def on_lease(self, message: f.Lease, context: Context) -> None:
        """The host's agent takes the VM; its frames come next."""
        self.lifetime, self.began = message.lifetime, context.now

    def on_admit(self, message: m.Admit, context: Context) -> None:
        """The VM has its frames."""
        if not self.program.boots:
            super().on_admit(message, context)
            return
        self.seat, self.born = Seat.BOOTING, context.now
        for lane in range(self.program.lanes):
            self.schedule(lane, context)

    @property
    def boots_by_program(self) -> bool:
        """Is what it does now its boot?"""
        return self.seat is Seat.BOOTING and self.program.boots

    def on_time(self, message: m.Tick, context: Context) -> None:
        """See TenantLoad; a boot may be a program."""
        if self.boots_by_program:
            self.on_tick(message, context)
        else:
            super().on_time(message, context)

    def end_lane(self, context: Context) -> None:
        """The last lane's end is the end of a boot, or of the DMA."""
        self.ended += 1
        if self.ended == self.program.lanes and self.boots_by_program:
            self.settle(context)
        elif self.ended == self.program.lanes:
            self.stop_dma(context)

    def stop_dma(self, context: Context) -> None:
        """The devices are silent from here on, if there are any."""
        if drives_devices(self.program):
            context.send(self.vm | DEVICES, m.StopDma(), context.link)

    def begin_dma(self, context: Context) -> None:
        """It has shared the pool, and devices use it, if there is still somebody who will stop them."""
        going = self.seat is Seat.TAKEN and self.ended < self.program.lanes
        if going and drives_devices(self.program):
            context.send(self.vm | DEVICES, m.StartDma(), context.link)

    def on_part_done(self, message: m.TaskDone, context: Context) -> None:
        """A part of the boot, or a task of the program's."""
        if self.boots_by_program:
            self.on_done(message, context)
            if message.reason is Reason.DEAD:
                self.seat = Seat.LOST
                self.tell_agent(context)
            return
        if message.task == self.task(0, 0):
            self.begin_dma(context)
        booting = self.seat is Seat.BOOTING
        self.on_task_done(message, context)
        if booting and self.seat is Seat.LOST:
            self.tell_agent(context)
        elif self.seat is Seat.LEFT:
            self.leave(context)

    def settle(self, context: Context) -> None:
        """All memory is accepted; the rest of a boot contends for nothing modelled here."""
        context.after(context.cost("boot_fixed"), f.BootOver(self.vm))

    def on_boot_over(self, _: f.BootOver, context: Context) -> None:
        """The program begins, and the VM's time."""
        self.seat, self.born = Seat.TAKEN, context.now
        context.observe(Booted(self.vm, context.now - self.began))
        self.tell_agent(context)
        for lane in range(self.program.lanes):
            self.schedule(lane, context)
        self.depart_later(context)

    def depart_later(self, context: Context) -> None:
        """Set the timer for its end; at the end of a run nobody goes."""
        if context.now + self.lifetime < self.until:
            context.after(max(1, self.lifetime), f.Depart())

    def tell_agent(self, context: Context) -> None:
        """The boot is over, well or not."""
        context.send(host_base(self.vm) | AGENT, f.BootOver(self.vm), context.link)

    def on_depart(self, _: f.Depart, context: Context) -> None:
        """It asks for nothing more."""
        self.seat = Seat.LEFT
        self.stop_dma(context)
        self.leave(context)

    def leave(self, context: Context) -> None:
        """The VMM exits once nothing is under way any more, if its VM has not died before."""
        if not self.tasks:
            context.send(self.vm | VMM, m.Exit(), context.link)

    HANDLERS: ClassVar = {
        **TenantLoad.HANDLERS,
        m.Admit: on_admit,
        m.Tick: on_time,
        m.TaskDone: on_part_done,
        f.Lease: on_lease,
        f.BootOver: on_boot_over,
        f.Depart: on_depart,
    }
