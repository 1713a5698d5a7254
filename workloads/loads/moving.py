"""The load of a VM that may move: it stops with its vCPUs, travels with the VM, and goes on where that runs."""

from typing import ClassVar, Protocol

from actors import messages as m
from actors.address import AGENT, DEVICES, GUEST, LOAD, VMM, host_base
from actors.contract import Context, Reason, Share
from actors.fleet import messages as f
from actors.fleet import move_messages as v
from actors.fleet.move_observations import ImageTold, VcpusStopped
from actors.names import whole_request
from workloads.loads.arrived import ArrivedLoad
from workloads.loads.dma import drives_devices
from workloads.loads.load import Job, Program, parts_of, use_of
from workloads.loads.tenant import BOOT_TASK, Seat

BATCH = 1000  # parts at a time: as many as there are numbers for (actors.names.part_task)


class Programs(Protocol):
    """What VMs do, by the address as which they were placed first."""

    def __call__(self, origin: int, vm: int) -> Program:
        """The program of that VM, now that it is `vm`."""


class MovingLoad(ArrivedLoad):
    """`origin` says whose program it runs, `image` what is to become of the place, or what of its VM.

    `stopped` is when its vCPUs were told to rest, `missed` are lanes whose time came meanwhile, `leaves` and `timer`
    are its departure's. `importing` counts what of the image is not at hand yet; `failed`: some of it never will be.
    """

    programs: Programs | None = None
    origin: int = 0
    expected: bool = False  # frames that come are no boot's
    unwanted: bool = False  # and whoever was to have them does not come
    admitted: bool = False
    dead: bool = False
    image: v.Image | None = None
    going: v.Pause | None = None
    stopped: int = -1
    missed: list[int] = []
    leaves: int = 0
    timer: int = -1
    importing: int = 0
    accepting: int = 0  # parts of it that have been begun
    failed: bool = False

    # --- at the source ---------------------------------------------------------------------------

    def on_pause(self, message: v.Pause, context: Context) -> None:
        """Nothing more is asked for, of devices first. Who is about to leave anyway, or is dead, does not move."""
        if self.seat is not Seat.TAKEN or self.dead or self.shuts_down():
            return
        self.stop_dma(context)
        self.going, self.stopped = message, context.now
        if self.timer >= 0:
            context.cancel(self.timer)
            self.timer = -1
        self.rest(context)

    def shuts_down(self) -> bool:
        """Has its program had the VMM exit?"""
        last = [self.program.job(lane, step - 1) for lane, step in enumerate(self.steps) if step]
        return any(job.post and isinstance(job.post.message, m.Exit) for job in last if job)

    def rest(self, context: Context) -> None:
        """Once nothing is under way, the VM is off."""
        if self.going is None or self.tasks or self.dead:
            return
        context.observe(VcpusStopped(self.vm, True))
        image = v.Image(
            self.going.arrival,
            self.vm,
            self.going.to,
            self.origin or self.vm,
            self.stopped,
            max(self.leaves - self.stopped, 1),
            self.born,
            tuple(self.steps),
            self.requests,
        )
        context.send(self.vm | GUEST, v.Carried(image), context.link)

    def on_go_on(self, _: v.GoOn, context: Context) -> None:
        """It stays. Lanes whose time came meanwhile go on at once."""
        if self.going is None:
            return
        if not self.tasks:
            context.observe(VcpusStopped(self.vm, False, context.now - self.stopped))
        self.leave_in_time(context)
        self.start_dma(True, 0, context)
        missed, self.missed, self.going = self.missed, [], None
        for lane in missed:
            context.after(1, m.Tick(lane))

    def start_dma(self, again: bool, origin: int, context: Context) -> None:
        """Once the pool is shared, the devices have it; if somebody will stop them."""
        if self.steps[0] and drives_devices(self.program) and self.ended < self.program.lanes:
            context.send(self.vm | DEVICES, m.StartDma(again, origin), context.link)

    def begin_dma(self, context: Context) -> None:
        """Not while it is told to rest: they begin where it goes on."""
        if self.going is None:
            super().begin_dma(context)

    def on_due(self, message: m.Tick, context: Context) -> None:
        """Not while the vCPUs rest."""
        if self.going is None:
            self.on_time(message, context)
        elif self.seat is Seat.TAKEN:
            self.missed.append(message.lane)

    def on_any_done(self, message: m.TaskDone, context: Context) -> None:
        """A task, or a part of a boot or an import."""
        self.dead = self.dead or message.reason is Reason.DEAD
        if self.importing:
            self.came(message.reason is Reason.NONE, context)
            return
        self.on_part_done(message, context)
        self.rest(context)

    def depart_later(self, context: Context) -> None:
        """See ArrivedLoad; the timer can be taken back."""
        self.leaves = context.now + max(1, self.lifetime)
        self.leave_in_time(context)

    def leave_in_time(self, context: Context) -> None:
        """Set the timer, for now or as it was."""
        if self.leaves < self.until:
            self.timer = context.after(max(1, self.leaves - context.now), f.Depart())

    # --- at the target ---------------------------------------------------------------------------

    def on_receive(self, _: v.Receive, __: Context) -> None:
        """Somebody moves in."""
        self.expected = True

    def on_frames(self, message: m.Admit, context: Context) -> None:
        """For a boot; or for a VM that moves in, which may be here already, or not be coming any more."""
        self.admitted = True
        if not self.expected:
            self.on_admit(message, context)
        elif self.unwanted:
            context.send(self.vm | VMM, m.Exit(), context.link)
        elif self.image:
            self.take_in(self.image, context)

    def on_carried(self, message: v.Carried, context: Context) -> None:
        """All of the VM is here."""
        self.image = message.image
        if self.admitted:
            self.take_in(message.image, context)

    def take_in(self, image: v.Image, context: Context) -> None:
        """The VMM makes shared what was; then private memory is made so, where it was in use.

        One such request after the other is under way at the VMM; faults and conversions may fail as anywhere.
        """
        self.requests = len(image.shared)
        self.importing = len(image.shared)
        for number, (start, end) in enumerate(image.shared):
            request = whole_request(BOOT_TASK + (number << 20), False)
            ask = m.ConvertRequest(request, start, end, Share.SHARED, context.now, self.vm | LOAD)
            context.send(self.vm | VMM, ask, context.link)
        if not image.shared:
            self.accept(image, context)

    def accept(self, image: v.Image, context: Context) -> None:
        """Stands for TDH.IMPORT.MEM: a fault for each piece, AUG, and what makes it the guest's. Then its holes."""
        accepted = [
            Job(0, *part, Share.PRIVATE, convert=False)
            for start, end in image.accepted
            for part in parts_of(Job(0, start, end, Share.PRIVATE, parts=self.vcpus))
        ]
        jobs = [*accepted, *(Job(0, *hole, Share.PRIVATE, give_up=True) for hole in image.holes)]
        batch = jobs[self.accepting : self.accepting + BATCH]
        self.accepting += len(batch)
        self.importing = len(batch)
        for number, job in enumerate(batch):
            use = use_of(BOOT_TASK + (number << 20), job)
            context.send(self.vm | GUEST, use, context.link)
        if not batch:
            self.begin(image, context)

    def on_converted(self, message: m.ConvertAnswer, context: Context) -> None:
        """A shared range of the image."""
        self.came(message.reason is Reason.NONE, context)

    def came(self, well: bool, context: Context) -> None:
        """One more part of the image; after the last one it is all there, or the move has failed."""
        image = self.image
        assert image is not None
        self.failed = self.failed or not well
        self.importing -= 1
        if self.importing:
            return
        if self.failed:
            context.send(host_base(self.vm) | AGENT, v.Imported(self.vm, False), context.link)
        else:
            self.accept(image, context)

    def begin(self, image: v.Image, context: Context) -> None:
        """It runs here from now on, its program from where it was."""
        self.seat, self.origin, self.born = Seat.TAKEN, image.origin, image.born
        if self.programs is not None:
            self.program = self.programs(image.origin, self.vm)
        self.steps, self.requests = list(image.steps), self.requests + image.requests
        self.lifetime = image.lifetime
        context.observe(ImageTold(self.vm, True, image.shared, image.accepted, image.holes))
        context.observe(VcpusStopped(self.vm, False, context.now - image.paused))
        context.send(host_base(self.vm) | AGENT, v.Imported(self.vm, True), context.link)
        self.start_dma(False, image.origin, context)
        for lane in range(self.program.lanes):
            self.schedule(lane, context)
        self.depart_later(context)

    # --- at either -------------------------------------------------------------------------------

    def on_discard(self, message: v.Discard, context: Context) -> None:
        """The VM is not here, or not any more. What it has asked for, it has asked for where it is."""
        if message.moved:
            self.requests = 0
        self.stop_dma(context)
        self.seat, self.going = Seat.LEFT, None
        self.unwanted = True
        if self.admitted:
            context.send(self.vm | VMM, m.Exit(), context.link)

    HANDLERS: ClassVar = {
        **ArrivedLoad.HANDLERS,
        m.Admit: on_frames,
        m.Tick: on_due,
        m.TaskDone: on_any_done,
        m.ConvertAnswer: on_converted,
        v.Pause: on_pause,
        v.GoOn: on_go_on,
        v.Receive: on_receive,
        v.Carried: on_carried,
        v.Discard: on_discard,
    }
