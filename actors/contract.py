"""The actor contract: one entry point, explicit state, and a context that is told what the actor wants done."""

import enum
from collections.abc import Callable, Iterable
from typing import Any, ClassVar, NamedTuple, Protocol

import msgspec

PAGES_2M = 512  # pages of 4 KiB in a 2 MiB leaf
PAGES_1G = 512 * PAGES_2M
PAGE_BYTES = 4096


class Share(enum.IntEnum):
    """Which side may use a page: guest_memfd's shareability."""

    PRIVATE = 0
    SHARED = 1


class Reason(enum.IntEnum):
    """Why something did not happen. F1 to F6 are docs/domain.md's failure classes."""

    NONE = 0
    NO_MEMORY = 1  # F1
    REFERENCES = 2  # F2
    BUSY = 3  # F3
    INTERRUPTED = 4  # F4
    TIMEOUT = 5  # F5
    BUG = 6  # F6
    POISONED = 7
    DEAD = 8


ERRNO = {
    Reason.NO_MEMORY: "ENOMEM",
    Reason.REFERENCES: "EAGAIN",
    Reason.BUSY: "EBUSY",
    Reason.INTERRUPTED: "EINTR",
    Reason.TIMEOUT: "ETIMEDOUT",
    Reason.BUG: "EFAULT",
    Reason.POISONED: "EHWPOISON",
    Reason.DEAD: "EIO",
}


class Consumer(enum.IntEnum):
    """Who must let go of a range before it may change sides. KVM_FILE_1 to 3 are KVMs of VMs that share the inode."""

    KVM_MMU = 0
    HOST_MAP = 1
    PINS = 2
    IOMMU = 3
    KVM_FILE_1 = 4
    KVM_FILE_2 = 5
    KVM_FILE_3 = 6


KVMS = (Consumer.KVM_MMU, Consumer.KVM_FILE_1, Consumer.KVM_FILE_2, Consumer.KVM_FILE_3)
"""By the number of the file that the VM has of the inode."""
REGISTERED = (*KVMS, Consumer.HOST_MAP, Consumer.PINS, Consumer.IOMMU)
"""In registration order."""
WORDS = {c: (Consumer.KVM_MMU if c in KVMS else c).name.lower() for c in REGISTERED}
"""What a consumer is called in facts and metrics: the KVM of any file is a KVM."""


class Trace(enum.IntEnum):
    """How a consumer that could not unmap a page leaves word of it (docs/domain.md section 4.C')."""

    NONE = 0  # only the VM is marked dead
    REFERENCE = 1  # a reference on the folio, for ever
    CALLBACK = 2  # a callback to guest_memfd, which keeps the page out of use
    FLAG = 3  # a flag of the page or the folio, which guest_memfd finds when everybody has unmapped


TELLS = (Trace.CALLBACK, Trace.FLAG)
"""How guest_memfd comes to know which page it was."""


class Message(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Base of everything that one actor sends another; subclasses carry a stable numeric tag."""


class Observation(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Base of the facts that actors report; nothing an actor does depends on who listens."""


class Fault(NamedTuple):
    """An injected failure: its class, and which of the opportunities it strikes first (from 0)."""

    reason: Reason
    first: int


Place = tuple[int, int]
"""Guest memory: first gfn, and the one after the last."""


class Context(Protocol):
    """What an actor may ask of the world while it handles a message."""

    now: int
    """Simulated time, ns."""
    link: int
    """The floor delay of every link, ns (1 in the explorer)."""

    def send(self, target: int, message: Message, delay: int) -> None:
        """Deliver `message` to `target` after `delay` >= 1 ns: the time of the work, plus the link's.

        What arrives in one nanosecond keeps the order in which this actor sent it; a short delay overtakes a long one.
        """

    def after(self, delay: int, message: Message) -> int:
        """Deliver `message` to this actor after `delay`; returns the key that cancels it."""

    def cancel(self, key: int) -> None:
        """Take back a timer that has not fired."""

    def cost(self, name: str, count: int = 1) -> int:
        """Duration of `count` units of the named cost, ns, at least 1: one draw."""

    def choose(
        self,
        point: str,
        count: int = 1,
        key: int = 0,
        span: int = 1,
        places: Iterable[Place] | None = None,
    ) -> Fault | None:
        """Does the named fault point strike, and at which of `count` opportunities first?

        `key` names the opportunity (see `opportunity`): the same one meets the same fate under every protocol.
        Each opportunity is about some guest memory: `span` pages, one after the other from the key's page on, unless
        `places` tells them one by one.
        """

    def observe(self, observation: Observation) -> None:
        """Report a fact for checkers, metrics and history."""


Handler = Callable[[Any, Any, Context], None]


class Actor(msgspec.Struct):
    """A state machine. Its fields are its whole state: comparable, copyable, with one canonical encoding."""

    HANDLERS: ClassVar[dict[type[Message], Handler]] = {}

    def receive(self, message: Message, context: Context) -> None:
        """Handle one message. A message the actor has no handler for is a bug in gmemsim."""
        self.HANDLERS[type(message)](self, message, context)


_OP_SHIFT, _PAGE_SHIFT = 60, 12
_PAGE_MASK = (1 << _OP_SHIFT - _PAGE_SHIFT) - 1
VM_KEY_SHIFT = 120


def opportunity(vm: int, op: int, page: int = 0, attempt: int = 0) -> int:
    """The key of a fault opportunity: which VM's which operation, at which page (a gfn), at which attempt."""
    if attempt > 0xFFF:  # noqa: PLR1730 - no call of min() for every opportunity
        attempt = 0xFFF
    return (vm << VM_KEY_SHIFT - _OP_SHIFT | op) << _OP_SHIFT | page << _PAGE_SHIFT | attempt


def op_of(key: int) -> int:
    """The number that the key of an opportunity names."""
    return key >> _OP_SHIFT & (1 << VM_KEY_SHIFT - _OP_SHIFT) - 1


def page_of(key: int) -> int:
    """The page (a gfn) that the key of an opportunity names."""
    return key >> _PAGE_SHIFT & _PAGE_MASK
