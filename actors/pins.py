"""Pins of one VM: references on shared pages, long (GUP, udmabuf, VFIO) and short (LRU, GUP-fast)."""

from typing import ClassVar

from actors import messages as m
from actors.contract import Actor, Consumer, Context, Reason, Share, opportunity
from actors.observations import Pinned


class Pins(Actor):
    """`held` is pin number -> range; `freeze_budget` (ns) is how long PREPARE waits for a short reference to go."""

    vm: int
    freeze_budget: int
    host_cpus: int
    held: dict[int, tuple[int, int]] = {}
    taken: int = 0
    waiting: dict[int, int] = {}  # op -> key of the timer that will answer PREPARE

    def on_take_pin(self, message: m.TakePin, context: Context) -> None:
        """A holder takes a long-lived reference."""
        self.take(message.start, message.end, message.hold, context)

    def take(self, start: int, end: int, hold: int, context: Context) -> None:
        """Until the holder lets go by itself, or a cooperative VMM makes it."""
        self.taken += 1
        self.held[self.taken] = (start, end)
        context.observe(Pinned(self.vm, start, end, True))
        context.after(hold, m.Unpin(start, end, self.taken))

    def on_unpin(self, message: m.Unpin, context: Context) -> None:
        """The holder lets go, unless it was made to before."""
        if self.held.pop(message.pin, None):
            context.observe(Pinned(self.vm, message.start, message.end, False))

    def on_drop(self, message: m.DropPins, context: Context) -> None:
        """A cooperative VMM makes its own pin holders let go of a range."""
        for pin, (start, end) in list(self.held.items()):
            if start < message.end and message.start < end:
                del self.held[pin]
                context.observe(Pinned(self.vm, start, end, False))

    def on_prepare(self, message: m.Prepare, context: Context) -> None:
        """Only s2p minds references: a private page has none. Long pins refuse; short ones are waited for a little."""
        if message.to is Share.SHARED:
            self.ready(message.gmem, message.op, context)
            return
        key = opportunity(self.vm, message.op, message.start)
        pages = message.end - message.start
        pinned = context.choose("pins.long", pages, key)
        if pinned:
            first = message.start + pinned.first
            self.take(first, first + 1, context.cost("long_pin"), context)
        offset = self.first_pinned(message.start, message.end)
        if offset >= 0:
            self.refuse(message.gmem, message.op, offset, context)
            return
        transient = context.choose("pins.transient", pages, key)
        if transient:
            self.drain(message, message.start + transient.first, context)
        else:
            self.ready(message.gmem, message.op, context)

    def first_pinned(self, start: int, end: int) -> int:
        """The first page of the range that a long pin holds, or -1."""
        hits = [max(start, s) for s, e in self.held.values() if s < end and start < e]
        return min(hits, default=-1)

    def drain(self, message: m.Prepare, page: int, context: Context) -> None:
        """A short reference: drain the per-CPU LRU batches once, and wait no longer than the freeze budget."""
        drained = context.cost("lru_drain_fixed")
        drained += context.cost("lru_drain_per_cpu", self.host_cpus)
        hold = context.cost("transient_ref")
        reason = Reason.NONE if hold <= self.freeze_budget else Reason.REFERENCES
        wait = drained + min(hold, self.freeze_budget)
        later = m.PinsDecided(message.gmem, message.op, reason, page)
        self.waiting[message.op] = context.after(wait, later)

    def on_decided(self, message: m.PinsDecided, context: Context) -> None:
        """The short reference is gone, or is not that short."""
        del self.waiting[message.op]
        if message.reason is Reason.NONE:
            self.ready(message.gmem, message.op, context)
        else:
            self.refuse(message.gmem, message.op, message.offset, context)

    def ready(self, gmem: int, op: int, context: Context) -> None:
        """The folios carry no reference but their own."""
        context.send(gmem, m.Ready(op, Consumer.PINS), context.link)

    def refuse(self, gmem: int, op: int, offset: int, context: Context) -> None:
        """Unexpected references from `offset` on."""
        no = m.Refused(op, Consumer.PINS, Reason.REFERENCES, offset)
        context.send(gmem, no, context.link)

    def on_commit(self, message: m.Commit, context: Context) -> None:
        """Nothing to unmap."""
        context.send(message.gmem, m.Committed(message.op, Consumer.PINS), context.link)

    def on_abort(self, message: m.Abort, context: Context) -> None:
        """Nothing was changed; a wait is called off."""
        timer = self.waiting.pop(message.op, -1)
        if timer >= 0:
            context.cancel(timer)
        context.send(message.gmem, m.Aborted(message.op, Consumer.PINS), context.link)

    def on_vm_dead(self, _: m.VmDead, context: Context) -> None:
        """The holders are gone with the VM."""
        held, self.held = self.held, {}
        for start, end in held.values():
            context.observe(Pinned(self.vm, start, end, False))

    HANDLERS: ClassVar = {
        m.VmDead: on_vm_dead,
        m.TakePin: on_take_pin,
        m.Unpin: on_unpin,
        m.DropPins: on_drop,
        m.Prepare: on_prepare,
        m.PinsDecided: on_decided,
        m.Commit: on_commit,
        m.Abort: on_abort,
    }
