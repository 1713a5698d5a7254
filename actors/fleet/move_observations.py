"""Facts about VMs that move, from the controller, the agents and the VMs themselves."""

from actors.contract import Observation
from actors.fleet.move_messages import Phase, Ranges


class MoveChanged(Observation, frozen=True, tag=250):
    """The controller's word: a move has come to a phase, `since` ns after it began; `vm` is where that was."""

    arrival: int
    vm: int
    phase: Phase
    since: int


class VcpusStopped(Observation, frozen=True, tag=251):
    """No vCPU of this VM runs from now on (`stopped`), or they run again; then they have stood still for `down` ns."""

    vm: int
    stopped: bool
    down: int = 0


class ImageTold(Observation, frozen=True, tag=252):
    """What an image says of memory: at the source by guest_memfd as it leaves, at the target when all is imported."""

    vm: int
    arrives: bool
    shared: Ranges
    accepted: Ranges
    holes: Ranges = ()


class MoveSettled(Observation, frozen=True, tag=253):
    """An agent knows on which side the VM is: on this one (`stays`), or its memory here may go."""

    vm: int
    stays: bool


class HostEmptied(Observation, frozen=True, tag=254):
    """No VM is on the host any more, `took` ns after its evacuation began."""

    host: int
    took: int
