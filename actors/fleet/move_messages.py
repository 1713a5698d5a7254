"""What controller, agents and loads tell each other when a VM moves to another host, and what travels."""

import enum

import msgspec

from actors.contract import Message

Ranges = tuple[tuple[int, int], ...]
"""(first gfn, the one after the last) of each."""


class Phase(enum.IntEnum):
    """How far a move has come, by what the hosts have told the controller."""

    BEGUN = 0  # the target is asked
    REFUSED = 1  # by the target, or there is none to ask
    ACCEPTED = 2  # the target has a place and frames for it
    NOT_QUIET = 3  # the source's vCPUs have not come to rest in time; they go on
    UNMOVABLE = 4  # some of its memory cannot be read; it goes on
    GONE = 5  # it has left the source, or died there, before it was sent
    QUIET = 6  # nothing of it is under way at the source any more
    BROKEN = 7  # the transfer has failed; it goes on at the source
    ARRIVED = 8  # all of it is at the target, which imports it
    GAVE_UP = 9  # the target could not import it
    BACK = 10  # so it goes on at the source
    DIED = 11  # or would, had it not died there meanwhile
    RUNS = 12  # at the target
    RELEASED = 13  # the source lets go of its memory


ENDS = {
    Phase.REFUSED: "no_place",
    Phase.NOT_QUIET: "not_quiet",
    Phase.UNMOVABLE: "unmovable",
    Phase.GONE: "vm_gone",
    Phase.BROKEN: "transfer_failed",
    Phase.BACK: "import_failed",
    Phase.DIED: "vm_gone",
    Phase.RELEASED: "moved",
}
"""The last phase of a move -> what has become of it."""


class Timer(enum.IntEnum):
    """What the controller's time has come for."""

    MOVE = 0  # somebody moves
    EVACUATE = 1  # the next host
    AGAIN = 2  # a move that failed is tried again
    BACK = 3  # the host that was emptied takes VMs again


class Image(msgspec.Struct, frozen=True, array_like=True):
    """A VM on its way. `origin` is the VM as which it was placed first: whose program it runs.

    `paused` is since when it stands still, `lifetime` what is left of it (ns), `born` when its program began;
    `steps` and `requests` are its load's. `accepted` is private and in use, `shared` is shared, all else private and
    not accepted, or in a balloon (`holes`). `whole` is False where memory is marked that nobody may read.
    """

    arrival: int
    vm: int
    to: int
    origin: int
    paused: int
    lifetime: int
    born: int
    steps: tuple[int, ...]
    requests: int
    accepted: Ranges = ()
    shared: Ranges = ()
    whole: bool = True
    holes: Ranges = ()

    @property
    def pages(self) -> int:
        """How many have contents."""
        return sum(end - start for start, end in (*self.accepted, *self.shared))


class MoveTime(Message, frozen=True, tag=240):
    """Timer of the controller."""

    timer: Timer


class Receive(Message, frozen=True, tag=241):
    """Controller -> agent: have a place and frames for this VM, which is `vm` on another host. It is move `number`.

    Agent -> load of the place: whoever gets the frames does not boot.
    """

    arrival: int
    vm: int
    number: int


class MoveOut(Message, frozen=True, tag=242):
    """Controller -> agent: move this VM; it is going to be `to`."""

    arrival: int
    vm: int
    to: int


class Pause(Message, frozen=True, tag=243):
    """Agent -> load: ask for nothing more, and once nothing is under way, send the VM off."""

    arrival: int
    to: int


class Carried(Message, frozen=True, tag=244):
    """Load -> guest -> guest_memfd -> agent, each with its part; then to the other host's agent, and its load."""

    image: Image


class GoOn(Message, frozen=True, tag=245):
    """Agent -> load: the VM stays here, and runs again.

    Target's agent -> source's: it will never run here. It is what an abort token says (TDH.IMPORT.ABORT).
    """

    vm: int


class Discard(Message, frozen=True, tag=246):
    """Agent -> load: this VM does not live here; its memory goes back. `moved`: it lives elsewhere.

    Agent -> agent: the same; from the target it is the word that it runs there.
    """

    vm: int
    moved: bool


class MoveNews(Message, frozen=True, tag=247):
    """Agent -> controller: a move has come to this phase, as far as it concerns `vm`."""

    arrival: int
    vm: int
    phase: Phase


class CallOff(Message, frozen=True, tag=248):
    """Timer of the source's agent: the vCPUs are late, or the transfer fails now."""

    vm: int
    phase: Phase


class Imported(Message, frozen=True, tag=249):
    """Load -> agent: the VM runs here now, or could not be imported."""

    vm: int
    runs: bool
