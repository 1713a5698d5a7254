"""guest_memfd whose inode several VMs have open: what every KVM is told, and how many of them have answered."""

from actors import messages as m
from actors.address import KVM, file_address, vm_base
from actors.contract import Context, Handler, Message
from actors.gmem.inode import Gmem
from actors.names import access_file

CLOSE = -1  # stands for the operation's number where the file is closed


class SharedInode(Gmem):
    """`files` are open, the owner's with them; `awaited` is op -> answers that are due to what all KVMs were told."""

    files: int = 2
    awaited: dict[int, int] = {}

    def tell_kvms(self, message: Message, delay: int, context: Context) -> None:
        """One after the other, in the order of their files; the conversion goes on after the last answer."""
        self.awaited[getattr(message, "op", CLOSE)] = self.files
        for file in range(self.files):
            context.send(file_address(vm_base(self.address), file) | KVM, message, delay)

    def asker(self, access: int) -> int:
        """The access says whose it is."""
        return file_address(vm_base(self.address), access_file(access)) | KVM

    def last(self, op: int) -> bool:
        """Was that the last answer? Holders of a closed file are asked one at a time, before all KVMs."""
        left = self.awaited.pop(op, 1) - 1
        if left:
            self.awaited[op] = left
        return not left


def once(kind: type[Message]) -> Handler:
    """What guest_memfd does with an answer of this kind, once every KVM has given it."""
    then = Gmem.HANDLERS[kind]

    def handle(gmem: SharedInode, message: Message, context: Context) -> None:
        if gmem.last(getattr(message, "op", CLOSE)):
            then(gmem, message, context)

    return handle


SharedInode.HANDLERS = {
    **Gmem.HANDLERS,
    **{kind: once(kind) for kind in (m.Frozen, m.Thawed, m.Zapped, m.ZapEnded, m.TornDown)},
}
