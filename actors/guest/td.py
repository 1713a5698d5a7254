"""TD guest: vCPUs that convert, accept and use memory, one task each; kicks; what it does when a conversion fails."""

from collections.abc import Callable
from typing import ClassVar

from msgspec import UNSET, UnsetType

from actors import messages as m
from actors.address import GUEST, HOST_MAP, KVM, LOAD, TDX, VMM, host_base
from actors.contract import PAGES_2M, Actor, Context, Message, Reason, Share
from actors.fleet import carry
from actors.fleet.move_messages import Carried
from actors.guest import balloon as guest_balloon
from actors.guest import release as guest_release
from actors.guest.outcome import Outcome
from actors.guest.release import Releasing
from actors.guest.task import AliasUse, Task, alias_use, in_the_way, use_of
from actors.intervals import IntervalMap
from actors.names import access_number, access_task, piece_request, whole_request, whole_task
from actors.observations import (
    NO_LATENCY,
    Answered,
    GuestAccess,
    GuestPanicked,
    MapGpaFailed,
    Requested,
)
from actors.tdx.states import LEVEL_2M, LEVEL_4K


class Guest(Actor):
    """One TD. `accepted` is gfn -> 1 where the guest holds the page for accepted private memory."""

    vm: int
    vcpus: int
    busy: int
    ticking: int
    retries: int
    reaction: str
    accepted: IntervalMap
    accept_level: int = LEVEL_2M  # the largest page that it accepts at
    queue: list[Task] = []
    active: dict[int, Task] = {}
    dead: bool = False
    # What vCPUs would do in the guest while KVM keeps them out: target, message, time of the work.
    kept_out: list[tuple[int, Message, int]] | None = None
    releasing: Releasing | UnsetType = UNSET  # trusted IO: what it has accepted, it pins

    # --- tasks -----------------------------------------------------------------------------------

    def on_ask(self, message: m.Ask, context: Context) -> None:
        """The load wants a conversion."""
        ask = message
        task = Task(
            ask.task, ask.start, ask.end, ask.to, ask.since, ask.whole, convert=True, touch=ask.use
        )
        self.queue.append(task)
        self.pump(context)

    def on_touch(self, message: m.Touch, context: Context) -> None:
        """The load wants memory used."""
        self.queue.append(use_of(message, message.share, context.now, Task))
        self.pump(context)

    def on_write(self, message: m.Write, context: Context) -> None:
        """The load wants memory used as it is; which side that is shows when the task's turn has come."""
        task = use_of(message, Share.SHARED, context.now, Task)
        task.as_is = True
        self.queue.append(task)
        self.pump(context)

    def on_use_alias(self, message: m.UseAlias, context: Context) -> None:
        """The load wants a private alias used, come what may."""
        self.queue.append(alias_use(message, context.now))
        self.pump(context)

    def on_give_up(self, message: m.GiveUp, context: Context) -> None:
        """The load wants the balloon inflated."""
        task = use_of(message, Share.PRIVATE, context.now, Task)
        task.give_up = True
        self.queue.append(task)
        self.pump(context)

    def on_online(self, message: m.Online, _: Context) -> None:
        """Its own scheduler runs on every vCPU now: those that were spinning idle and tick."""
        self.ticking = min(message.ticking, self.busy)

    def pump(self, context: Context) -> None:
        """Give waiting tasks to free vCPUs in order; a page has one owner at a time, so tasks on one range wait."""
        while self.queue and len(self.active) < self.vcpus and not self.dead:
            task = self.queue[0]
            if any(in_the_way(task, other) for other in self.active.values()):
                return
            self.active[task.task] = self.queue.pop(0)
            task.cursor = task.start
            if task.convert:
                self.convert(task, task.start, context)
            elif task.give_up:
                guest_balloon.inflate(self, task, context)
            else:
                if task.as_is and self.accepted.only(task.start, task.end, 1):
                    task.to = Share.PRIVATE
                self.use(task, context)
        if self.dead:
            self.give_up(context)

    def convert(self, task: Task, start: int, context: Context, again: bool = False) -> None:
        """To the host with it, once what it must not hold any more is released."""
        private = task.to is Share.SHARED and self.releasing is not UNSET
        if not private or not guest_release.release(self, task, start, again, context):
            self.ask_host(task, start, again, context)

    def hand_over(self, task: Task, start: int, context: Context, again: bool) -> None:
        """What the host is to have is released."""
        if task.give_up:
            guest_balloon.tell(self, task, context)
        else:
            self.ask_host(task, start, again, context)

    def ask_host(self, task: Task, start: int, again: bool, context: Context) -> None:
        """MapGPA from `start` on (`again`: it was asked for before), or one request at the VMM as a trace has it."""
        task.out = True
        if task.whole:
            number = whole_request(task.task, task.back)
            request = m.ConvertRequest(
                number, start, task.end, task.to, task.since, self.vm | GUEST
            )
            self.execute(self.vm | VMM, request, context.cost("td_exit_roundtrip"), context)
        else:
            task.again += again
            call = m.MapGpa(
                task.task,
                start,
                task.end,
                task.to,
                task.since,
                (start - task.start) // PAGES_2M,
                task.again if again else 0,
                task.back,
            )
            self.execute(self.vm | KVM, call, context.link, context)

    def on_convert_answer(self, message: m.ConvertAnswer, context: Context) -> None:
        """The VMM's answer to a whole request; its error is final, for the VMM had its retries."""
        task = self.active.get(whole_task(message.request))
        if task is None:
            return
        if message.reason is Reason.NONE:
            self.converted(task, task.end, context)
        else:
            self.failed(task, message.reason, context)

    def on_map_gpa_done(self, message: m.MapGpaDone, context: Context) -> None:
        """All done, RETRY from `resume` (so many more tries without progress as it makes), or an error."""
        task = self.active.get(message.task)
        if task is None:
            return
        moved = message.resume > task.cursor
        if message.reason is Reason.NONE:
            self.converted(task, task.end, context)
            return
        task.tries = 0 if moved else task.tries + 1
        task.cursor = message.resume
        if message.reason is Reason.POISONED or task.tries > self.retries:
            if task.cursor > task.start:
                converted = task.cursor - task.start
                context.observe(MapGpaFailed(self.vm, task.start, task.end, converted))
            self.failed(task, message.reason, context)
        else:
            task.since = context.now
            self.convert(task, message.resume, context, again=not message.fresh)

    def converted(self, task: Task, end: int, context: Context) -> None:
        """Private memory has to be accepted; shared memory is used now or some other time."""
        task.out = False
        self.accepted.set(task.start, end, 0)
        task.cursor = task.start
        if task.to is Share.PRIVATE or task.touch:
            self.use(task, context)
        else:
            self.finish(task, context)

    def failed(self, task: Task, reason: Reason, context: Context) -> None:
        """The conversion did not happen (a prefix may have); what now is the guest's policy."""
        task.out = False
        task.failure = reason
        if task.cursor > task.start and task.to is Share.SHARED:
            self.accepted.set(task.start, task.cursor, 0)
        REACTIONS[self.reaction](self, task, context)

    def finish(self, task: Task, context: Context) -> None:
        """The vCPU is free again."""
        del self.active[task.task]
        context.send(self.vm | LOAD, m.TaskDone(task.task, task.failure), context.link)
        self.pump(context)

    # --- using memory ----------------------------------------------------------------------------

    def use(self, task: Task, context: Context) -> None:
        """Touch or accept the next 2 MiB at most."""
        if task.cursor >= task.end:
            self.finish(task, context)
            return
        end = min(task.cursor // PAGES_2M * PAGES_2M + PAGES_2M, task.end)
        task.level = self.accept_level if end - task.cursor == PAGES_2M else LEVEL_4K
        self.walk(task, access_number(task.task, task.start, task.cursor), end, context)

    def walk(self, task: Task, access: int, end: int, context: Context) -> None:
        """Execute: private memory that was not accepted yet is accepted, anything else just touched."""
        private = task.to is Share.PRIVATE
        accept = private and self.accepts(task, end)
        ticking = min(self.in_guest(), self.ticking) if accept and self.ticking else 0
        walk = m.Access(self.vm, access, task.cursor, end, task.level, accept, ticking)
        target = host_base(self.vm) | TDX if private else self.vm | KVM
        self.execute(target, walk, context.link, context)

    def accepts(self, task: Task, end: int) -> bool:
        """Is the task's next piece of private memory to be accepted, or in use already?"""
        if isinstance(task, AliasUse):
            return task.accept
        return not self.accepted.only(task.cursor, end, 1)

    def on_accessed(self, message: m.Accessed, context: Context) -> None:
        """Done with this piece, execute again, or accept in smaller pages."""
        task = self.active.get(access_task(message.access))
        if task is None:
            return
        end = min(task.cursor // PAGES_2M * PAGES_2M + PAGES_2M, task.end)
        if message.outcome == Outcome.DONE:
            if task.to is Share.PRIVATE:
                if task.heeds:  # the others hold for accepted what they have accepted themselves
                    self.accepted.set(task.cursor, end, 1)
            else:
                touched = m.HostTouch(task.cursor, end)
                context.send(self.vm | HOST_MAP, touched, context.link)
                context.observe(GuestAccess(self.vm, task.cursor, end, Share.SHARED, True))
            task.cursor = end
            self.use(task, context)
        elif message.outcome == Outcome.FAILED:
            task.failure = task.failure or Reason.POISONED
            self.finish(task, context)
        else:
            if message.outcome == Outcome.SIZE_MISMATCH:
                task.level = LEVEL_4K
            self.walk(task, message.access, end, context)

    # --- vCPUs and death -------------------------------------------------------------------------

    def execute(self, target: int, message: Message, work: int, context: Context) -> None:
        """What a vCPU does in the guest: now, or once it is let in again."""
        if self.kept_out is None:
            context.send(target, message, work)
        else:
            self.kept_out.append((target, message, work))

    def in_guest(self) -> int:
        """How many vCPUs run in the guest: the busy ones, less those that wait for the host."""
        if self.kept_out is not None:
            return 0
        inside = self.vcpus
        for task in self.active.values():
            inside -= task.out
        return min(self.busy, inside) if inside > 0 else 0

    def on_kick(self, message: m.Kick, context: Context) -> None:
        """Everybody out, `count` times; the requester pays for each vCPU that runs in the guest."""
        kicked = self.in_guest()
        took = context.cost("kick_link")
        if kicked:
            took += context.cost("kick_slope", kicked * message.count)
            ticking = min(kicked, self.ticking)
            if ticking:
                took += context.cost("tick_slope", ticking * message.count)
        exits = m.VpExits(self.vm, message.ticket, kicked * message.count)
        context.send(host_base(self.vm) | TDX, exits, took)
        if message.stay and self.kept_out is None:
            self.kept_out = []

    def on_let_in(self, _: m.LetIn, context: Context) -> None:
        """KVM keeps nobody out any more."""
        waiting, self.kept_out = self.kept_out, None
        for target, message, work in waiting or ():
            context.send(target, message, work)

    def on_flush(self, message: m.Flush, context: Context) -> None:
        """A remote TLB flush of shared memory."""
        took = context.cost("tlb_flush_fixed")
        running = self.in_guest()
        if running:
            took += context.cost("tlb_flush_per_vcpu", running)
        context.send(self.vm | KVM, m.Flushed(message.ticket), took)

    def on_vm_dead(self, _: m.VmDead, context: Context) -> None:
        """No vCPU will run again."""
        self.dead = True
        self.give_up(context)

    def give_up(self, context: Context) -> None:
        """End every task with EIO."""
        for task in self.queue:
            self.refuse(task, context)
        tasks = [*self.active.values(), *self.queue]
        self.active, self.queue = {}, []
        for task in tasks:
            context.send(self.vm | LOAD, m.TaskDone(task.task, Reason.DEAD), context.link)

    def refuse(self, task: Task, context: Context) -> None:
        """A conversion that a VM is asked for when it is dead fails; else a protocol that kills VMs had less to do."""
        for piece, (start, end) in enumerate(task.requests()):
            number = (
                whole_request(task.task, False)
                if task.whole
                else piece_request(task.task, piece, 0, False)
            )
            context.observe(Requested(self.vm, number, task.to))
            context.observe(
                Answered(self.vm, number, start, end, task.to, Reason.DEAD, False, NO_LATENCY)
            )

    HANDLERS: ClassVar = {
        m.Ask: on_ask,
        m.Touch: on_touch,
        m.Write: on_write,
        m.UseAlias: on_use_alias,
        m.GiveUp: on_give_up,
        m.HolePunched: guest_balloon.on_hole_punched,
        m.Online: on_online,
        m.ConvertAnswer: on_convert_answer,
        m.MapGpaDone: on_map_gpa_done,
        m.Accessed: on_accessed,
        m.Release: guest_release.on_released,
        m.Kick: on_kick,
        m.LetIn: on_let_in,
        m.Flush: on_flush,
        m.VmDead: on_vm_dead,
        Carried: carry.by_guest,
    }


# --- reactions to a failed conversion (docs/domain.md section 2.6, R1 to R5) ---------------------


def leak(guest: Guest, task: Task, context: Context) -> None:
    """R1: the page is never used again."""
    guest.finish(task, context)


def revert(guest: Guest, task: Task, context: Context) -> None:
    """R2: back to where it was, at once; a revert that fails too is a leak."""
    if not task.convert:
        leak(guest, task, context)
        return
    task.convert = False
    task.to = Share(1 - task.to)
    task.cursor, task.tries, task.back, task.since = task.start, 0, True, context.now
    guest.convert(task, task.start, context)


def keep_private(guest: Guest, task: Task, context: Context) -> None:
    """R3: goes on using the range as what it was before; for private memory that is the thread's fatal scenario."""
    task.to = Share(1 - task.to)
    guest.use(task, context)


def ignore(guest: Guest, task: Task, context: Context) -> None:
    """R4: the return code is dropped and the range used as if it had been converted."""
    task.cursor = task.start
    guest.use(task, context)


def panic(guest: Guest, task: Task, context: Context) -> None:
    """R5: the guest gives up."""
    context.observe(GuestPanicked(guest.vm))
    guest.dead = True
    context.send(guest.vm | VMM, m.VmDead(), context.link)
    guest.give_up(context)


REACTIONS: dict[str, Callable[[Guest, Task, Context], None]] = {
    "leak": leak,
    "revert": revert,
    "keep-private": keep_private,
    "ignore": ignore,
    "panic": panic,
}
