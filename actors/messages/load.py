"""The load and the TD guest."""

from actors.contract import Message, Reason, Share


class Tick(Message, frozen=True, tag=1):
    """Timer of the load: the next job of a lane is due."""

    lane: int


class Ask(Message, frozen=True, tag=2):
    """Load -> guest: convert this range; whole (one request at the VMM) or by MapGPA. `since`: intended start.

    Private memory is always accepted afterwards; shared memory is used if `use` says so.
    """

    task: int
    start: int
    end: int
    to: Share
    since: int
    whole: bool
    use: bool


class Touch(Message, frozen=True, tag=3):
    """Load -> guest: use this range as private or shared memory."""

    task: int
    start: int
    end: int
    share: Share


class Online(Message, frozen=True, tag=120):
    """Load -> guest: the guest has brought up its vCPUs; `ticking` of those that run there take timer ticks now."""

    ticking: int


class TaskDone(Message, frozen=True, tag=4):
    """Guest -> load: what became of the task."""

    task: int
    reason: Reason


class MapGpa(Message, frozen=True, tag=5):
    """Guest -> KVM: TDVMCALL MapGPA; KVM cuts it into 2 MiB pieces. The last three name the first (actors.names)."""

    task: int
    start: int
    end: int
    to: Share
    since: int
    piece: int = 0
    again: int = 0
    back: bool = False


class MapGpaDone(Message, frozen=True, tag=6):
    """KVM -> guest: NONE, or what stopped it; `resume` is the first gfn not converted.

    POISONED and DEAD read as INVALID_OPERAND, anything else as TDVMCALL RETRY. `fresh`: nobody was asked for `resume`.
    """

    task: int
    reason: Reason
    resume: int
    fresh: bool = False
