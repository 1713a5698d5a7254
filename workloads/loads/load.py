"""The load of one VM: an actor that asks the guest for what its program says, in lanes that run side by side."""

from itertools import pairwise
from typing import ClassVar, NamedTuple, Protocol

import msgspec

from actors import messages as m
from actors.address import ALLOCATOR, GUEST, LOAD, host_base, vm_base
from actors.contract import PAGES_2M, Actor, Context, Message, Reason, Share
from actors.names import part_task
from actors.observations import Booted, MemoryTouched

ACCEPT = "accept"  # of Job.alias
STEPS = 1 << 32  # of a lane; lane * STEPS + step is a reservation's ticket


class Job(NamedTuple):
    """One thing to do. `wait` is ns after the lane's last job, or, in a timed program, after the VM's start.

    What is used and not converted can be dealt out to several vCPUs (`parts`), and have others tick meanwhile.
    """

    wait: int
    start: int
    end: int
    to: Share
    convert: bool = True
    whole: bool = False
    use: bool = False
    parts: int = 1
    ticking: int = -1  # vCPUs from here on; -1 as before
    give_up: bool = False  # to the balloon, instead of using it
    as_is: bool = False  # use it on whichever side it is
    alias: str = ""  # use its private alias and wait for no conversion: "accept" or "read"
    post: "Post | None" = None  # no task of the guest's at all, but a message to somebody else
    hold: int = 0  # ns for which pages of the host's pool are kept that the message asks for


class Post(NamedTuple):
    """What happens to a VM beside its guest's own doing: an actor's address and a message for it."""

    target: int
    message: Message


class Program(Protocol):
    """What a load does: a pure function of lane and step, so that it needs no state of its own."""

    lanes: int
    timed: bool
    """Open loop: jobs begin at their own times, whether the ones before are done or not."""
    one_sequence: bool
    """All lanes take turns with the steps of one sequence."""
    boots: bool
    """The end of the program is the end of a boot."""
    sides: int
    """The last so many lanes only accompany the others: they end when those have ended."""

    def job(self, lane: int, step: int) -> Job | None:
        """The lane's job number `step`, None after the last."""


class Touching(msgspec.Struct):
    """A job that uses memory: `left` of its parts are not done."""

    lane: int
    since: int
    start: int
    end: int
    to: Share
    left: int


class Load(Actor):
    """`steps` counts each lane's jobs, `tasks` is task -> lane; `program` is environment, not state.

    Where memory is only used, `tasks` is task -> ~number of its job in `touching`, whose parts are tasks of their own.

    Stops to convert after `quota` requests (0: no limit) or at `until` ns, whichever comes first.
    """

    vm: int
    program: Program
    quota: int
    until: int
    born: int
    steps: list[int]
    tasks: dict[int, int] = {}
    touching: dict[int, Touching] = {}
    requests: int = 0
    ended: int = 0

    def on_tick(self, message: m.Tick, context: Context) -> None:
        """A lane's time has come."""
        lane = message.lane
        step = self.steps[self.sequence(lane)]
        job = self.program.job(lane, step)
        if job is None or not self.may(lane, job, context.now):
            self.end_lane(context)
            return
        if self.timed(lane) and self.born + job.wait > context.now:  # before the first job
            self.schedule(lane, context)
            return
        self.steps[self.sequence(lane)] += 1
        task = self.task(lane, step)
        if job.post:
            context.send(job.post.target, job.post.message, context.link)
        else:
            self.tasks[task] = lane
            self.ask(task, job, context)
        if self.timed(lane) or job.post:
            self.schedule(lane, context)

    @property
    def main(self) -> int:
        """How many lanes do not only accompany the others."""
        return self.program.lanes - self.program.sides

    def timed(self, lane: int) -> bool:
        """Do the lane's jobs begin at their own times? Side lanes wait from one job to the next."""
        return self.program.timed and lane < self.main

    def task(self, lane: int, step: int) -> int:
        """A task's number says which job it is, whichever lane was quicker (actors.names)."""
        return step + 1 if self.program.one_sequence else step * self.program.lanes + lane + 1

    def sequence(self, lane: int) -> int:
        """Which of `steps` counts for the lane."""
        return 0 if self.program.one_sequence else lane

    def schedule(self, lane: int, context: Context) -> None:
        """Set the timer for the lane's next job."""
        job = self.program.job(lane, self.steps[self.sequence(lane)])
        wait = 0 if job is None else job.wait
        if self.timed(lane):
            wait += self.born - context.now
        context.after(max(wait, 1), m.Tick(lane))

    def may(self, lane: int, job: Job, now: int) -> bool:
        """Neither limit reached; memory may still be used when conversions may not, but not by a side lane alone."""
        if lane >= self.main and (now >= self.until or self.ended >= self.main):
            return False
        return not job.convert or (
            now < self.until and (not self.quota or self.requests < self.quota)
        )

    def ask(self, task: int, job: Job, context: Context) -> None:
        """Give the guest one task; a conversion is cut to what the quota leaves."""
        if not job.convert:
            self.touch(task, job, context)
            return
        end = job.end
        if self.quota and not job.whole:
            end = min(end, job.start + (self.quota - self.requests) * PAGES_2M)
        self.requests += 1 if job.whole else -(-(end - job.start) // PAGES_2M)
        ask = m.Ask(task, job.start, end, job.to, context.now, job.whole, job.use)
        context.send(self.vm | GUEST, ask, context.link)

    def touch(self, task: int, job: Job, context: Context) -> None:
        """One task for each part; the lane is busy until the last one is done."""
        if job.ticking >= 0:
            context.send(self.vm | GUEST, m.Online(job.ticking), context.link)
        parts = parts_of(job)
        lane = self.tasks.pop(task)
        self.touching[task] = Touching(lane, context.now, job.start, job.end, job.to, len(parts))
        for part, (start, end) in enumerate(parts):
            number = part_task(task, part)
            self.tasks[number] = ~task
            use = use_of(number, job._replace(start=start, end=end))
            context.send(self.vm | GUEST, use, context.link)

    def on_done(self, message: m.TaskDone, context: Context) -> None:
        """The lane is free for its next job, unless the VM died. An open loop asks on: death does not thin its load."""
        lane = self.tasks.pop(message.task)
        if lane < 0:
            job = self.touching[~lane]
            job.left -= 1
            if job.left:
                return
            del self.touching[~lane]
            lane = job.lane
            if message.reason is Reason.NONE:
                took = context.now - job.since
                context.observe(MemoryTouched(self.vm, job.start, job.end, job.to, took))
        if self.timed(lane):
            return
        if (
            message.reason is Reason.DEAD and self.program.timed
        ):  # a side lane has nobody to accompany
            self.end_lane(context)
            return
        if message.reason is Reason.DEAD:
            self.until = 0
        self.schedule(lane, context)

    def end_lane(self, context: Context) -> None:
        """The last lane's end may be the end of a boot."""
        self.ended += 1
        if self.ended == self.program.lanes and self.program.boots and self.until:
            # What a boot does beside converting and accepting contends for nothing modelled here.
            took = context.now - self.born + context.cost("boot_fixed")
            context.observe(Booted(self.vm, took))

    def on_reserved(self, message: m.Reserved, context: Context) -> None:
        """Pages of the host's pool, for as long as the job says, or none to be had."""
        job = self.program.job(*divmod(message.ticket, STEPS))
        assert job and job.post and isinstance(job.post.message, m.Reserve)
        if message.granted:
            context.after(
                max(job.hold, 1),
                m.LetGo(job.post.message.pages, vm_base(job.post.message.reply_to)),
            )

    def on_let_go(self, message: m.LetGo, context: Context) -> None:
        """And back."""
        context.send(
            host_base(self.vm) | ALLOCATOR, m.GiveBack(message.pages, message.vm), context.link
        )

    HANDLERS: ClassVar = {
        m.Tick: on_tick,
        m.TaskDone: on_done,
        m.Reserved: on_reserved,
        m.LetGo: on_let_go,
    }


def use_of(task: int, job: Job) -> m.Touch | m.Write | m.GiveUp | m.UseAlias:
    """The task that converts nothing."""
    if job.alias:
        return m.UseAlias(task, job.start, job.end, job.alias == ACCEPT)
    if job.give_up:
        return m.GiveUp(task, job.start, job.end)
    if job.as_is:
        return m.Write(task, job.start, job.end)
    return m.Touch(task, job.start, job.end, job.to)


def parts_of(job: Job) -> list[tuple[int, int]]:
    """Its range in so many parts of whole 2 MiB, but for the last one; fewer where there is not enough of it."""
    blocks = -(-(job.end - job.start) // PAGES_2M)
    cuts = [job.start + blocks * part // job.parts * PAGES_2M for part in range(job.parts)]
    return [(start, end) for start, end in pairwise([*cuts, job.end]) if start < end]


def load_address(vm: int) -> int:
    """Where the load of a VM lives."""
    return vm_base(vm) | LOAD
