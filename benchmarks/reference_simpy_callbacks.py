"""The reference model in SimPy without a process or a generator: each message is one Timeout with one callback."""

from collections.abc import Callable
from typing import Any

import simpy
from simpy.events import Timeout

from benchmarks.reference_model import LINK, USERSPACE_NS, Shape
from benchmarks.reference_simpy import Servers, Vm


class CallbackVm(Vm):
    """What happens next is what a timeout calls."""

    def __init__(
        self, env: simpy.Environment, shape: Shape, host: int, number: int, servers: Servers
    ) -> None:
        super().__init__(env, shape, host, number)
        self.servers = servers
        self.waiting = 0
        self.preparing = False
        self.after(self.think(), self.tick)

    def after(self, delay: int, then: Callable[[Any], None]) -> None:
        """Call `then` after `delay`."""
        callbacks = Timeout(self.env, delay).callbacks
        assert callbacks is not None
        callbacks.append(then)

    def tick(self, _: Any) -> None:
        self.after(LINK, self.convert)

    def convert(self, _: Any) -> None:
        self.preparing = True
        self.tell(LINK)

    def tell(self, delay: int) -> None:
        self.waiting = 3
        self.after(delay, self.kvm)
        self.after(delay, self.userspace)
        self.after(delay, self.iommu_driver)

    def kvm(self, _: Any) -> None:
        self.after(LINK, self.call)

    def call(self, _: Any) -> None:
        self.after(self.servers.tdx.serve(int(self.env.now)), self.called)

    def called(self, _: Any) -> None:
        self.after(LINK, self.served)

    def userspace(self, _: Any) -> None:
        self.after(USERSPACE_NS, self.served)

    def iommu_driver(self, _: Any) -> None:
        self.after(self.servers.iommu.serve(int(self.env.now)), self.served)

    def served(self, _: Any) -> None:
        self.after(LINK, self.done)

    def done(self, _: Any) -> None:
        self.waiting -= 1
        if self.waiting:
            return
        if self.preparing:
            self.preparing = False
            self.tell(self.decide())
        else:
            self.after(LINK, self.converted)

    def converted(self, _: Any) -> None:
        if self.count():
            self.after(self.think(), self.tick)


def callbacks(env: simpy.Environment, shape: Shape, host: int, servers: Servers) -> list[Vm]:
    """See benchmarks.reference_simpy.Populate."""
    return [CallbackVm(env, shape, host, number, servers) for number in range(shape.vms)]
