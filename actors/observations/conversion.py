"""A conversion: its order, its answer, and what of it went wrong."""

from actors.contract import Consumer, Observation, Reason, Share


class ConvertBegin(Observation, frozen=True, tag=1):
    """guest_memfd holds its invalidate lock for this conversion (`op`); range in gfn."""

    gmem: int
    op: int
    start: int
    end: int
    to: Share


class ConvertEnd(Observation, frozen=True, tag=2):
    """guest_memfd drops the lock and answers.

    `offset` is the gfn at which it failed, or -1. With `prefix` the batches before that one may be converted, else all
    of the range is promised to be as it was.
    """

    gmem: int
    op: int
    reason: Reason
    offset: int
    redundant: bool
    held: int
    prefix: bool = False


class Decided(Observation, frozen=True, tag=3):
    """The one decision of a two-phase conversion."""

    gmem: int
    op: int
    commit: bool


class ConsumerReplied(Observation, frozen=True, tag=4):
    """A consumer answered PREPARE, COMMIT or ABORT (`phase`) after `took`; NONE means yes or done.

    With a no, `offset` is the gfn that it names.
    """

    gmem: int
    op: int
    phase: str
    consumer: Consumer
    reason: Reason
    took: int
    offset: int = -1


class ShareStored(Observation, frozen=True, tag=5):
    """The attribute of a range (gfn) has this value now."""

    gmem: int
    op: int
    start: int
    end: int
    to: Share


class PrepareUndone(Observation, frozen=True, tag=39):
    """COMMIT met a boundary leaf, or a mapping, that was not there when this consumer said READY."""

    vm: int
    op: int
    start: int
    end: int


class NoReturn(Observation, frozen=True, tag=40):
    """From here on the conversion has nothing that may fail (the point of no return where nobody decides)."""

    gmem: int
    op: int


class UndoFailed(Observation, frozen=True, tag=41):
    """A step of an undo failed; the kernel would leave a WARNING (`what`: readd, store or restructure)."""

    gmem: int
    op: int
    what: str


class Spinning(Observation, frozen=True, tag=35):
    """guest_memfd has waited `waited` ns for references to go, holding its lock, and goes on waiting."""

    gmem: int
    op: int
    waited: int


class FaultStruck(Observation, frozen=True, tag=175):
    """The fault plan made this point fail, with this class: a failure that nothing in the simulated host led to.

    What the opportunity was about is told (gfn) where it is known; elsewhere `start` is `end`. `op` is the number that
    the opportunity has: a conversion's, an access's, or a ticket.
    """

    vm: int
    op: int
    point: str
    reason: Reason
    start: int
    end: int


class ErrorDropped(Observation, frozen=True, tag=176):
    """An error that `consumer` met while `phase`, and that nobody hears of: the protocol, or its VMM, goes on."""

    vm: int
    op: int
    consumer: str
    phase: str
    reason: Reason
