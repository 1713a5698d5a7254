"""KVM MMU of another VM that has the inode open, on a file of its own: a service VM, or the target of a migration.

A file is one VM's view of the inode (docs/domain.md section 1), and conversions go over all of them. A frame is in the
secure EPT of one TD at most (I3), so that beside a live TD the other VM maps the shared side alone, at the same gfns
(ASSUMED; bindings may differ). It makes no SEAMCALL, and its death is no reason to refuse: the ioctl belongs to the
file, not to the VM.
"""

from typing import ClassVar

from actors import messages as m
from actors.address import GMEM, GUEST, file_of, owner_base
from actors.contract import KVMS, Consumer, Context, Reason, Share, opportunity
from actors.guest.outcome import Outcome
from actors.kvm import fault as kvm_fault
from actors.kvm.mmu import KvmMmu


class FileKvm(KvmMmu):
    """As the owner's, without private memory."""

    @property
    def consumer(self) -> Consumer:
        """By the number of its file."""
        return KVMS[file_of(self.vm)]

    def file(self, number: int) -> int:
        """The inode is the owner's."""
        return owner_base(self.vm) | GMEM | number

    def objection(self, message: m.Prepare | m.Invalidate, context: Context) -> Reason:
        """It has no leaf to split, and so refuses only where a fault is injected."""
        if message.to is Share.PRIVATE:
            return Reason.NONE
        key = opportunity(self.vm, message.op, message.start)
        fault = context.choose("kvm.file_split", 1, key, message.end - message.start)
        return fault.reason if fault else Reason.NONE

    def on_got_pfn(self, message: m.GotPfn, context: Context) -> None:
        """What is private, or no more, is not its VMM's to convert: the access ends; with EHWPOISON the VM does."""
        fault = self.faults[message.access]
        if message.reason is Reason.NONE:
            kvm_fault.got_pfn(self, fault, message, context)
            return
        took = context.cost("memory_fault_exit")
        if message.failed:
            self.dead = True
            context.send(self.vm | GUEST, m.VmDead(), took)
        kvm_fault.done(self, fault, Outcome.FAILED, took, context)

    def gone(self, gmem: int, context: Context) -> None:
        """Its file is closed with the owner's (ASSUMED at once; the inode could live on in this VM)."""
        context.send(self.vm | GUEST, m.VmDead(), context.link)
        context.send(gmem, m.TornDown(), context.link)

    HANDLERS: ClassVar = {
        **KvmMmu.HANDLERS,
        m.GotPfn: on_got_pfn,
    }
