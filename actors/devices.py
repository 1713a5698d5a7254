"""Devices of one VM that have DMA of their own: streams that read and write shared memory at a rate.

A stream keeps to its part of the pool. Now and then it has the VMM unmap and map again a window of that part, as for a
new buffer, and stands still meanwhile; what falls due then comes late.
"""

from collections.abc import Callable
from typing import ClassVar, NamedTuple, Protocol

from actors import messages as m
from actors.address import IOMMU, VMM, host_base
from actors.contract import Actor, Context
from actors.observations import DmaHeld

NEVER = -1


class Dma(NamedTuple):
    """One DMA; `wait` is ns after the stream's last one."""

    wait: int
    start: int
    end: int
    write: bool


class Window(NamedTuple):
    """What a stream has mapped anew; `wait` is ns after its last one, NEVER for none."""

    wait: int
    start: int
    end: int


class Streams(Protocol):
    """What the devices do: pure functions of stream and number, so that they need no state of their own."""

    streams: int

    def dma(self, stream: int, number: int) -> Dma:
        """The stream's DMA of this number."""

    def window(self, stream: int, number: int) -> Window:
        """Its window of this number."""


class Devices(Actor):
    """`since` is when a stream began to stand still, `late` when a DMA fell due then; `program` is no state.

    Where VMs move, `programs` are the devices' of the VM that was placed first as this one.
    """

    vm: int
    program: Streams
    listeners: int
    numbers: list[int]
    windows: list[int]
    since: list[int]
    late: list[int]
    running: bool = False
    programs: Callable[[int], Streams] | None = None

    @classmethod
    def of(cls, vm: int, program: Streams, listeners: int) -> "Devices":
        """Silent until they are told to start."""
        found = cls(vm, program, listeners, [], [], [], [])
        found.rest()
        return found

    def rest(self) -> None:
        """All streams are at their beginning."""
        streams = self.program.streams
        self.numbers, self.windows = [0] * streams, [0] * streams
        self.since, self.late = [NEVER] * streams, [NEVER] * streams

    def on_start(self, message: m.StartDma, context: Context) -> None:
        """The pool is shared, or the VM runs again. Timers from before it stood still are nobody's."""
        if message.origin and self.programs:
            self.program = self.programs(message.origin)
            self.rest()
        elif message.again:
            self.numbers = [number + 1 for number in self.numbers]
            self.windows = [number + 1 for number in self.windows]
            self.late = [NEVER] * len(self.late)
        self.running = True
        for stream in range(self.program.streams):
            self.plan(stream, context)
            self.plan_window(stream, context)

    def on_stop(self, _: m.StopDma, __: Context) -> None:
        """Nobody wants data any more."""
        self.running = False

    def plan(self, stream: int, context: Context) -> None:
        """Set the timer for the stream's next DMA."""
        number = self.numbers[stream]
        wait = self.program.dma(stream, number).wait
        context.after(max(wait, 1), m.DmaDue(stream, number))

    def plan_window(self, stream: int, context: Context) -> None:
        """The same for its next window."""
        number = self.windows[stream]
        wait = self.program.window(stream, number).wait
        if wait != NEVER:
            context.after(max(wait, 1), m.WindowDue(stream, number))

    def on_due(self, message: m.DmaDue, context: Context) -> None:
        """One DMA, at once or as soon as the stream moves again."""
        if not self.running or message.number != self.numbers[message.stream]:
            return
        if self.since[message.stream] == NEVER:
            self.issue(message.stream, context)
        else:
            self.late[message.stream] = context.now

    def issue(self, stream: int, context: Context) -> None:
        """Read or write, and set the timer for the next one."""
        dma = self.program.dma(stream, self.numbers[stream])
        self.numbers[stream] += 1
        access = m.DmaAccess(self.vm, dma.start, dma.end, self.listener(stream), dma.write)
        context.send(host_base(self.vm) | IOMMU, access, context.link)
        self.plan(stream, context)

    def listener(self, stream: int) -> int:
        """Whose domain the stream's device is in."""
        return stream % max(self.listeners, 1)

    def on_window_due(self, message: m.WindowDue, context: Context) -> None:
        """Ask the VMM, and stand still."""
        stream = message.stream
        if not self.running or message.number != self.windows[stream]:
            return
        window = self.program.window(stream, self.windows[stream])
        self.windows[stream] += 1
        self.since[stream] = context.now
        move = m.MoveWindow(stream, window.start, window.end, self.listener(stream))
        context.send(self.vm | VMM, move, context.link)

    def on_window_moved(self, message: m.WindowMoved, context: Context) -> None:
        """On it goes; what fell due meanwhile comes now."""
        stream = message.stream
        context.observe(DmaHeld(self.vm, context.now - self.since[stream]))
        self.since[stream] = NEVER
        if not self.running:
            return
        self.plan_window(stream, context)
        if self.late[stream] != NEVER:
            self.late[stream] = NEVER
            self.issue(stream, context)

    HANDLERS: ClassVar = {
        m.StartDma: on_start,
        m.StopDma: on_stop,
        m.DmaDue: on_due,
        m.WindowDue: on_window_due,
        m.WindowMoved: on_window_moved,
    }
