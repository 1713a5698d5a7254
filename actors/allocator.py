"""Host page allocator: a finite pool of order-0 pages for kernel metadata, and the frames that guests gave back."""

from typing import ClassVar

import msgspec

from actors import messages as m
from actors.address import vm_base
from actors.contract import Actor, Context, Reason, opportunity
from actors.fleet import admission
from actors.fleet import messages as f
from actors.fleet.admission import FREE, HELD, Admissions
from actors.intervals import IntervalMap
from actors.observations import (
    FramesReused,
    FramesTaken,
    MemoryRefused,
    PagesReturned,
    Reserving,
)


class Allocator(Actor):
    """`free` pages are left in the pool; `frames` is pfn -> FREE where guest memory is free for another VM, or HELD."""

    free: int
    frames: IntervalMap
    host: int = 0
    reuse: bool = False  # freed frames are given to somebody else at once
    admits: Admissions | msgspec.UnsetType = msgspec.UNSET  # or to VMs that come after others

    def on_reserve(self, message: m.Reserve, context: Context) -> None:
        """All the pages or none: an empty pool refuses by itself, an injected failure only adds to that."""
        vm = message.vm or vm_base(message.reply_to)
        op = message.op if message.op >= 0 else message.ticket
        # Askers of one conversion are told apart by their kind, which stands in the key where others have a page.
        key = opportunity(vm, op, message.reply_to & 0xFF)
        context.observe(Reserving(vm, op, message.pages, message.reply_to))
        fault = context.choose("alloc.pages", 1, key, places=((message.start, message.end),))
        granted = fault is None and message.pages <= self.free
        if granted:
            self.free -= message.pages
        else:
            context.observe(MemoryRefused(vm, op, message.pages))
        reply = m.Reserved(message.ticket, granted, fault.reason if fault else Reason.NO_MEMORY)
        took = context.cost("page_alloc", max(1, message.pages))
        context.send(message.reply_to, reply, took)

    def on_give_back(self, message: m.GiveBack, context: Context) -> None:
        """Unused, or used no more."""
        assert message.pages >= 0, f"{-message.pages} pages given back twice"
        self.free += message.pages
        context.observe(PagesReturned(message.vm, message.ticket, message.pages))

    def on_free_memory(self, message: m.FreeMemory, context: Context) -> None:
        """Guest memory that nobody refers to any more; a busy host has a use for it."""
        held = message.hole and self.agent()
        self.frames.set(message.start, message.end, HELD if held else FREE)
        if self.reuse:
            context.observe(FramesReused(self.host, message.start, message.end))

    def agent(self) -> bool:
        """Does an agent say who is admitted? It has promised each VM its memory, a balloon's part of it too."""
        return self.admits is not msgspec.UNSET and self.admits.agent is not msgspec.UNSET

    def on_no_hole(self, message: m.NoHole, _: Context) -> None:
        """What was kept for its VM is anybody's. What somebody still refers to was never given back."""
        for start, end, state in self.frames.runs(message.start, message.end):
            if state == HELD:
                self.frames.set(start, end, FREE)

    def on_take_frames(self, message: m.TakeFrames, context: Context) -> None:
        """A hole gets its frames again, unless they are somebody else's by now."""
        back = HELD if self.agent() else FREE
        free = self.frames.only(message.start, message.end, back) and message.pages <= self.free
        vm = vm_base(message.reply_to)
        key = opportunity(vm, message.ticket, message.reply_to & 0xFF)
        hole = (message.gfn, message.gfn + message.end - message.start)
        granted = free and context.choose("alloc.pages", 1, key, places=(hole,)) is None
        if granted:
            self.free -= message.pages
            self.frames.set(message.start, message.end, 0)
            context.observe(FramesTaken(vm, message.start, message.end, message.gfn, message.pages))
        took = context.cost("page_alloc", message.folios + message.pages)
        context.send(message.reply_to, m.FramesTaken(message.ticket, granted, message.pages), took)

    HANDLERS: ClassVar = {
        m.Reserve: on_reserve,
        m.GiveBack: on_give_back,
        m.FreeMemory: on_free_memory,
        m.NoHole: on_no_hole,
        m.TakeFrames: on_take_frames,
        m.Reclaim: admission.on_reclaim,
        f.AdmitVm: admission.on_admit_vm,
    }
