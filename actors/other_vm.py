"""vCPUs of another VM that has the inode open: they use what the owner shares, as long as it is shared."""

from typing import ClassVar

import msgspec

from actors import messages as m
from actors.address import KVM, file_of
from actors.contract import PAGES_2M, Actor, Context
from actors.guest.outcome import Outcome
from actors.names import access_number, access_task, file_access
from actors.tdx.states import LEVEL_4K


class Use(msgspec.Struct):
    """Shared memory in use; `cursor` is how far."""

    start: int
    end: int
    cursor: int


class OtherVm(Actor):
    """`busy` vCPUs run in the guest, and have to flush."""

    vm: int
    busy: int
    uses: dict[int, Use] = {}
    dead: bool = False

    def on_touch(self, message: m.Touch, context: Context) -> None:
        """A buffer of the owner's, unless it is busy with that one."""
        if not self.dead and message.task not in self.uses:
            self.uses[message.task] = Use(message.start, message.end, message.start)
            self.go_on(message.task, context)

    def go_on(self, task: int, context: Context) -> None:
        """The next 2 MiB at most."""
        use = self.uses[task]
        if use.cursor >= use.end:
            del self.uses[task]
            return
        number = access_number(task, use.start, use.cursor)
        access = file_access(number, file_of(self.vm))
        walk = m.Access(self.vm, access, use.cursor, self.block_end(use), LEVEL_4K, False)
        context.send(self.vm | KVM, walk, context.link)

    @staticmethod
    def block_end(use: Use) -> int:
        """Where the 2 MiB in hand end."""
        return min(use.cursor // PAGES_2M * PAGES_2M + PAGES_2M, use.end)

    def on_accessed(self, message: m.Accessed, context: Context) -> None:
        """On with it; but memory that was taken back is used no more."""
        task = access_task(message.access)
        use = self.uses.get(task)
        if use is None:
            return
        if message.outcome == Outcome.DONE:
            use.cursor = self.block_end(use)
            self.go_on(task, context)
        else:
            del self.uses[task]

    def on_flush(self, message: m.Flush, context: Context) -> None:
        """A remote TLB flush of shared memory."""
        took = context.cost("tlb_flush_fixed")
        if self.busy and not self.dead:
            took += context.cost("tlb_flush_per_vcpu", self.busy)
        context.send(self.vm | KVM, m.Flushed(message.ticket), took)

    def on_vm_dead(self, _: m.VmDead, __: Context) -> None:
        """No vCPU will run again."""
        self.dead, self.uses = True, {}

    HANDLERS: ClassVar = {
        m.Touch: on_touch,
        m.Accessed: on_accessed,
        m.Flush: on_flush,
        m.VmDead: on_vm_dead,
    }
