"""Pins of one VM: references on shared pages, long (GUP, udmabuf, VFIO) and short (LRU, GUP-fast)."""

from typing import ClassVar, NamedTuple

import msgspec

from actors import holders, pins_frozen
from actors import messages as m
from actors.contract import Actor, Consumer, Context, Fault, Reason, Share, opportunity
from actors.holders import Waiting
from actors.observations import CountsRead, Pinned, ReferencesFound

# Who may take a long-lived reference: on shared pages a device or a driver, on private ones somebody who should not.
POINTS = {Share.PRIVATE: "pins.long", Share.SHARED: "pins.private"}  # by the conversion's direction
HOLDS = {"pins.long": "long_pin", "pins.private": "stray_ref"}
# Short references, on shared pages alone: in a batch of a processor's LRU list, which a drain ends; by GUP-fast, a
# page-table walker or migration, which end by themselves.
LRU, FAST = "pins.lru", "pins.transient"


class Where(msgspec.Struct, frozen=True, array_like=True):
    """A question of guest_memfd's: which conversion, which gfns, and which of them change sides (none: all)."""

    gmem: int
    op: int
    start: int
    end: int
    parts: m.Parts = ()

    @property
    def changing(self) -> m.Parts:
        """The gfns that are asked about: what does not change sides may be referred to as it likes."""
        return self.parts or ((self.start, self.end),)


def asked(message: m.Prepare | m.Invalidate | m.AwaitQuiet | m.Recount) -> Where:
    """What a message asks about."""
    return Where(message.gmem, message.op, message.start, message.end, message.parts)


class Found(NamedTuple):
    """What stands against a conversion at a page: a reference (`short` names a short one), or a failure to look."""

    reason: Reason
    page: int
    short: str = ""


class Pins(Actor):
    """`held` is pin number -> range; `freeze_budget` (ns) is how long PREPARE waits for a short reference to go.

    Negative numbers are references that nobody will drop.
    """

    vm: int
    freeze_budget: int
    host_cpus: int
    held: dict[int, tuple[int, int]] = {}
    taken: int = 0
    waiting: dict[int, int] = {}  # op -> key of the timer that will answer PREPARE
    spinning: dict[int, Where] = {}  # conversions that wait for long references to go
    frozen: dict[int, m.Parts] = {}  # op -> what references cannot grow on before its decision
    committed: dict[int, Where] = {}  # by guest_memfd: the last one after it, whether over or not
    put_off: list[m.TakePin] = []  # wishes that have met frozen counts
    gone: bool = False  # the VM is, and with it whoever would take a reference
    owed: Waiting = msgspec.UNSET

    def on_take_pin(self, message: m.TakePin, context: Context) -> None:
        """A holder takes a long-lived reference, but for one on a frozen folio: he comes again."""
        if not self.gone and not pins_frozen.meets(self, message, context):
            self.take(message.start, message.end, message.hold, context)

    def take(self, start: int, end: int, hold: int, context: Context) -> None:
        """Until the holder lets go by itself, or a cooperative VMM makes it."""
        if self.gone:
            return
        self.taken += 1
        self.held[self.taken] = (start, end)
        context.observe(Pinned(self.vm, start, end, True))
        context.after(hold, m.Unpin(start, end, self.taken))

    def on_keep(self, message: m.KeepReference, _: Context) -> None:
        """A reference that stays: who looks cannot tell it from any other."""
        self.taken += 1
        self.held[-self.taken] = (message.start, message.end)

    def on_unpin(self, message: m.Unpin, context: Context) -> None:
        """The holder lets go, unless it was made to before."""
        if self.held.pop(message.pin, None):
            context.observe(Pinned(self.vm, message.start, message.end, False))
            self.unpinned(context)

    def on_drop(self, message: m.DropPins, context: Context) -> None:
        """A cooperative VMM makes its own pin holders let go of a range."""
        for pin, (start, end) in list(self.held.items()):
            if pin > 0 and start < message.end and message.start < end:
                del self.held[pin]
                context.observe(Pinned(self.vm, start, end, False))
        self.unpinned(context)

    def on_prepare(self, message: m.Prepare, context: Context) -> None:
        """Long pins refuse; short ones are waited for a little. A private page has none, unless somebody is astray."""
        where = asked(message)
        self.frozen[where.op] = where.changing
        found = self.found(where, message.to, context)
        if found is None:
            self.ready(where, context)
        elif found.short:
            self.drain(where, found, message.waits, context)
        else:
            self.refuse(where, found, context)

    def strike(self, where: "Where", point: str, context: Context) -> Fault | None:
        """Does the point strike, and at which gfn first? Each page that changes sides is an opportunity."""
        for start, end in where.changing:
            fault = context.choose(point, end - start, opportunity(self.vm, where.op, start))
            if fault:
                return Fault(fault.reason, start + fault.first)
        return None

    def found(self, where: "Where", to: Share, context: Context) -> "Found | None":
        """What stands against the range: a long pin, else a short reference, which no private page has."""
        point = POINTS[to]
        fault = self.strike(where, point, context)
        if fault and fault.reason is not Reason.REFERENCES:
            return Found(fault.reason, fault.first)
        if fault:
            self.take_one(fault.first, point, context)
        pinned = self.pinned(where)
        if pinned >= 0:
            return Found(Reason.REFERENCES, pinned)
        for short in (FAST, LRU) if to is Share.PRIVATE else ():
            fault = self.strike(where, short, context)
            if fault:
                is_one = fault.reason is Reason.REFERENCES
                return Found(fault.reason, fault.first, short if is_one else "")
        return None

    def take_one(self, page: int, point: str, context: Context) -> None:
        """Somebody takes a long-lived reference on a page just now."""
        self.take(page, page + 1, context.cost(HOLDS[point]), context)

    def pinned(self, where: "Where") -> int:
        """The first page with a reference, or -1."""
        held = self.held.values()
        found = [
            max(first, start)
            for first, last in where.changing
            for start, end in held
            if start < last and first < end
        ]
        return min(found, default=-1)

    def drain(self, where: "Where", found: "Found", waits: bool, context: Context) -> None:
        """A short reference: drain the per-CPU LRU batches, once; what is there still may have the freeze budget."""
        drained = context.cost("lru_drain_fixed")
        drained += context.cost("lru_drain_per_cpu", self.host_cpus)
        hold = context.cost("transient_ref") if found.short == FAST else 0
        last = drained + self.freeze_budget * waits
        reason = Reason.NONE if hold <= last else Reason.REFERENCES
        wait = max(drained, min(hold, last))
        later = m.PinsDecided(where.gmem, where.op, where.start, where.end, reason, found.page)
        self.waiting[where.op] = context.after(wait, later)

    def on_decided(self, message: m.PinsDecided, context: Context) -> None:
        """The short reference is gone, or is not that short."""
        del self.waiting[message.op]
        where = Where(message.gmem, message.op, message.start, message.end)
        if message.reason is Reason.NONE:
            self.ready(where, context)
        else:
            self.refuse(where, Found(message.reason, message.offset, FAST), context)

    def ready(self, where: "Where", context: Context) -> None:
        """The folios carry no reference but their own."""
        context.send(where.gmem, m.Ready(where.op, Consumer.PINS), context.link)

    def refuse(self, where: "Where", found: "Found", context: Context) -> None:
        """Unexpected references, or the look at them failed."""
        pins_frozen.abort(self, where.op, context)
        if found.reason is Reason.REFERENCES:
            short = bool(found.short)
            seen = ReferencesFound(self.vm, where.op, where.start, where.end, short, found.page)
            context.observe(seen)
        no = m.Refused(where.op, Consumer.PINS, found.reason, found.page)
        context.send(where.gmem, no, context.link)

    def on_invalidate(self, message: m.Invalidate, context: Context) -> None:
        """One look at the reference counts, without draining or waiting."""
        where = asked(message)
        found = self.found(where, message.to, context) if message.to is Share.PRIVATE else None
        if found:
            self.refuse(where, found, context)
        else:
            context.send(where.gmem, m.Invalidated(where.op, Consumer.PINS), context.link)

    def on_remap(self, message: m.Remap, context: Context) -> None:
        """Nothing was unmapped."""
        reply = m.Remapped(message.op, Consumer.PINS, Reason.NONE)
        context.send(message.gmem, reply, context.link)

    def on_await_quiet(self, message: m.AwaitQuiet, context: Context) -> None:
        """guest_memfd spins until the counts are the filemap's own: short ones go, long ones may take their time.

        A spin cannot fail, so a fault of any class is a reference here.
        """
        where = asked(message)
        self.gone_astray(where, message.to, context)
        if self.pinned(where) >= 0:
            self.spinning[where.op] = where
            return
        short = self.strike(where, FAST, context)
        self.quiet(where, context.cost("transient_ref") if short else 0, context)

    def gone_astray(self, where: "Where", to: Share, context: Context) -> None:
        """Private pages: somebody may hold one who should not, unless PREPARE has looked and frozen the counts."""
        before = self.committed.get(where.gmem)
        looked = before is not None and (before.op, before.start) == (where.op, where.start)
        private = to is Share.SHARED and not looked
        fault = self.strike(where, "pins.private", context) if private else None
        if fault:
            self.take_one(fault.first, "pins.private", context)

    def on_recount(self, message: m.Recount, context: Context) -> None:
        """One look after the unmap; a fault of any class is a reference here, too."""
        where = asked(message)
        self.gone_astray(where, message.to, context)
        page = self.pinned(where)
        self.tell_counts(where, context)
        context.send(where.gmem, m.Recounted(where.op, page >= 0, page), context.link)

    def tell_counts(self, where: "Where", context: Context) -> None:
        """What the references come to, page by page: the numbers behind an answer."""
        for first, last in where.changing:
            held = self.held.values()
            extra = sum(max(0, min(last, end) - max(first, start)) for start, end in held)
            context.observe(CountsRead(self.vm, where.op, first, last, extra))

    def unpinned(self, context: Context) -> None:
        """A reference went: whoever spins for it may go on."""
        for where in list(self.spinning.values()):
            if self.pinned(where) < 0:
                del self.spinning[where.op]
                self.quiet(where, 0, context)

    def quiet(self, where: Where, wait: int, context: Context) -> None:
        """No reference is left but the filemap's own, and from here on none comes."""
        self.committed[where.gmem] = where
        self.tell_counts(where, context)
        context.send(where.gmem, m.Quiet(where.op), wait + context.link)

    def on_commit(self, message: m.Commit, context: Context) -> None:
        """Nothing to unmap. Counts stay frozen while guest_memfd restructures what they are of."""
        parts = self.frozen.pop(message.op, None)
        if parts is not None:
            where = Where(message.gmem, message.op, message.start, message.end, parts)
            self.committed[message.gmem] = where
            if self.put_off:
                context.send(message.gmem, m.AwaitThaw(message.op), context.link)
        context.send(message.gmem, m.Committed(message.op, Consumer.PINS), context.link)

    def on_abort(self, message: m.Abort, context: Context) -> None:
        """Nothing was changed but that counts are frozen; a wait is called off."""
        pins_frozen.abort(self, message.op, context)
        timer = self.waiting.pop(message.op, -1)
        if timer >= 0:
            context.cancel(timer)
        context.send(message.gmem, m.Aborted(message.op, Consumer.PINS), context.link)

    def on_vm_dead(self, _: m.VmDead, context: Context) -> None:
        """The holders are gone with the VM."""
        self.gone, self.put_off = True, []
        held, self.held = self.held, {pin: at for pin, at in self.held.items() if pin < 0}
        for pin, (start, end) in held.items():
            if pin > 0:
                context.observe(Pinned(self.vm, start, end, False))
        self.unpinned(context)
        holders.let_go(self, self.vm, context)

    def on_teardown(self, message: m.Teardown, context: Context) -> None:
        """The last references go with the VM, but for those that stay: guest_memfd knows of them."""
        holders.asked(self, message.gmem, self.gone, context)

    HANDLERS: ClassVar = {
        m.VmDead: on_vm_dead,
        m.Teardown: on_teardown,
        m.TakePin: on_take_pin,
        m.KeepReference: on_keep,
        m.Unpin: on_unpin,
        m.DropPins: on_drop,
        m.Prepare: on_prepare,
        m.PinsDecided: on_decided,
        m.Commit: on_commit,
        m.Abort: on_abort,
        m.Invalidate: on_invalidate,
        m.Remap: on_remap,
        m.AwaitQuiet: on_await_quiet,
        m.Recount: on_recount,
        m.ConversionOver: pins_frozen.on_over,
    }
