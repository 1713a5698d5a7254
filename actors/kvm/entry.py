"""vCPUs on their way back into the guest, and out of it while a SEAMCALL that met BUSY is tried once more.

KVM's wait_for_sept_zap (docs/domain.md section 2.3): a vCPU that is in the guest could take a lock of the TDX module
again between the kick and the retry, so none gets in before the retry is over.
"""

from typing import TYPE_CHECKING

from actors import messages as m
from actors.address import GUEST, TDX, host_base
from actors.contract import Context
from actors.observations import VcpusKept

if TYPE_CHECKING:
    from actors.kvm.mmu import KvmMmu


def enter(
    kvm: "KvmMmu", access: int, delay: int, context: Context, elsewhere: bool = False
) -> None:
    """VP.ENTER after a fault, `delay` from now; `elsewhere`: the access is given up."""
    call = m.VpEnter(kvm.vm, access, elsewhere)
    if kvm.kept_out is None:
        context.send(host_base(kvm.vm) | TDX, call, delay)
    else:
        kvm.kept_out.append((call, delay))


def keep_out(kvm: "KvmMmu", ticket: int, wait: int, context: Context) -> None:
    """Everybody out after `wait` ns, and nobody in again."""
    if kvm.kept_out is None:
        kvm.kept_out = []
        context.observe(VcpusKept(kvm.vm, True))
    context.send(kvm.vm | GUEST, m.Kick(ticket, 1, stay=True), wait)


def let_in(kvm: "KvmMmu", context: Context) -> None:
    """The retry is over, well or not."""
    waiting, kvm.kept_out = kvm.kept_out, None
    if waiting is None:
        return
    context.observe(VcpusKept(kvm.vm, False))
    context.send(kvm.vm | GUEST, m.LetIn(), context.link)
    for call, delay in waiting:
        context.send(host_base(kvm.vm) | TDX, call, delay)
