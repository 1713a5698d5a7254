"""The reference model's consumers that only work and answer, and the two servers of a host."""

from typing import ClassVar

from actors.address import vm_base
from actors.contract import Actor, Consumer, Context, opportunity
from benchmarks.reference_messages import Abort, Call, Commit, Done, Prepare, Returned, Served

HOST_MAP, IOMMU = Consumer.HOST_MAP, Consumer.IOMMU


class Userspace(Actor):
    """The host's mapping: a fixed time, and nobody to wait for."""

    vm: int

    def on_phase(self, message: Prepare | Commit | Abort, context: Context) -> None:
        """Work."""
        context.after(context.cost("userspace"), Served(message.op, message.gmem))

    def on_served(self, message: Served, context: Context) -> None:
        """Answer."""
        context.send(message.client, Done(message.op, HOST_MAP), context.link)

    HANDLERS: ClassVar = {
        Prepare: on_phase,
        Commit: on_phase,
        Abort: on_phase,
        Served: on_served,
    }


class Tdx(Actor):
    """One server for all VMs of the host, first come first served."""

    free: int = 0

    def on_call(self, message: Call, context: Context) -> None:
        """Queue and serve."""
        now, free = context.now, self.free
        self.free = free = (free if free > now else now) + context.cost("tdx")
        context.after(free - now, Served(message.op, message.kvm))

    def on_served(self, message: Served, context: Context) -> None:
        """Return."""
        context.send(message.client, Returned(message.op), context.link)

    HANDLERS: ClassVar = {Call: on_call, Served: on_served}


class Iommu(Actor):
    """One invalidation queue for all VMs of the host, first come first served."""

    free: int = 0

    def on_prepare(self, message: Prepare, context: Context) -> None:
        """Nothing is in the fault plan, but the point is passed."""
        context.choose("iommu.slots", 1, opportunity(vm_base(message.gmem), message.op))
        self.on_decision(message, context)

    def on_decision(self, message: Prepare | Commit | Abort, context: Context) -> None:
        """Queue and serve."""
        now, free = context.now, self.free
        self.free = free = (free if free > now else now) + context.cost("iommu")
        context.after(free - now, Served(message.op, message.gmem))

    def on_served(self, message: Served, context: Context) -> None:
        """Answer."""
        context.send(message.client, Done(message.op, IOMMU), context.link)

    HANDLERS: ClassVar = {
        Prepare: on_prepare,
        Commit: on_decision,
        Abort: on_decision,
        Served: on_served,
    }
