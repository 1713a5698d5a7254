"""The load of a place on a host, whoever has it: a VM that comes after another boots, then goes on where that one was.

An open loop asks a VM that is gone, too. So the requests of a place are the same whatever becomes of its VMs; those
that are due while nobody is there, or while a new VM boots, fail.
"""

import enum
from typing import ClassVar

import msgspec

from actors import messages as m
from actors.address import ALLOCATOR, GUEST, host_base, vm_base
from actors.contract import PAGES_2M, Context, Reason, Share
from workloads.loads.load import Job, Load, Post, Program, load_address, parts_of

BOOT_TASK = (1 << 20) - 1  # no step of a load comes to that


class Seat(enum.IntEnum):
    """Whose the place is."""

    TAKEN = 0
    EMPTY = 1  # not admitted yet
    BOOTING = 2
    LOST = 3  # died before it had booted
    LEFT = 4  # another has it


class TenantLoad(Load):
    """`before` is the load of the VM before, `pages` what a boot accepts, on `vcpus` at once, `left` of them to do."""

    before: int = 0
    pages: int = 0
    vcpus: int = 1
    seat: Seat = Seat.TAKEN
    left: int = 0

    def on_admit(self, _: m.Admit, context: Context) -> None:
        """The VM has its frames: the guest accepts all of its memory."""
        self.seat = Seat.BOOTING
        job = Job(0, 0, self.pages, Share.PRIVATE, parts=min(self.vcpus, self.pages // PAGES_2M))
        for start, end in parts_of(job):
            self.left += 1
            touch = m.Touch(BOOT_TASK + (self.left << 20), start, end, Share.PRIVATE)
            context.send(self.vm | GUEST, touch, context.link)

    def on_task_done(self, message: m.TaskDone, context: Context) -> None:
        """A task of the load's, or a part of the boot."""
        if self.seat not in (Seat.BOOTING, Seat.LOST):
            self.on_done(message, context)
            return
        self.left -= 1
        if message.reason is not Reason.NONE:
            self.seat = Seat.LOST
        elif not self.left and self.seat is Seat.BOOTING:
            self.settle(context)

    def settle(self, context: Context) -> None:
        """The boot is over: on with what the one before has come to."""
        context.send(self.before, m.HandOver(self.vm), context.link)

    def on_hand_over(self, message: m.HandOver, context: Context) -> None:
        """The next one wants the place; or the one before has left it."""
        if not message.to:
            self.take_over(message, context)
        elif self.seat is Seat.TAKEN:
            self.seat = Seat.LEFT
            reply = m.HandOver(0, tuple(self.steps), self.requests)
            self.requests = 0  # they are the other's to count
            context.send(message.to, reply, context.link)
        else:  # it has never had the place
            context.send(self.before, message, context.link)

    def take_over(self, message: m.HandOver, context: Context) -> None:
        """On with what comes next in each lane."""
        self.seat = Seat.TAKEN
        self.steps, self.requests = list(message.steps), message.requests
        for lane in range(self.program.lanes):
            self.schedule(lane, context)

    def on_time(self, message: m.Tick, context: Context) -> None:
        """What was due when the place was left is the other's."""
        if self.seat is Seat.TAKEN:
            self.on_tick(message, context)

    HANDLERS: ClassVar = {
        **Load.HANDLERS,
        m.Tick: on_time,
        m.TaskDone: on_task_done,
        m.Admit: on_admit,
        m.HandOver: on_hand_over,
    }


class Moved:
    """The program of another VM: what it posts to that one's actors, or for it to its host, goes to our own."""

    def __init__(self, program: Program, first: int, vm: int) -> None:
        self.program = program
        self.lanes, self.sides = program.lanes, program.sides
        self.timed, self.boots = program.timed, program.boots
        self.one_sequence = program.one_sequence
        self.first, self.vm = first, vm

    def job(self, lane: int, step: int) -> Job | None:
        """See workloads.loads.load.Program."""
        job = self.program.job(lane, step)
        return job._replace(post=self.own(job.post)) if job and job.post else job

    def own(self, post: Post) -> Post:
        """To ours instead."""
        if vm_base(post.target) == self.first:
            return post._replace(target=post.target - self.first + self.vm)
        take = post.message
        assert isinstance(take, m.Reserve), f"a host is asked for {type(take).__name__}"
        ours = msgspec.structs.replace(take, reply_to=load_address(self.vm), vm=self.vm)
        return Post(host_base(self.vm) | ALLOCATOR, ours)
