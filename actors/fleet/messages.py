"""What the controller of a fleet, the agents of its hosts and the loads of arriving VMs tell each other."""

import enum

from actors.contract import Message


class No(enum.IntEnum):
    """Why a host does not take a VM."""

    NONE = 0  # it does
    FULL = 1  # no place is free
    BOOTS = 2  # as many VMs boot there as may
    MEMORY = 3  # none for a VM that would move there


class Arrive(Message, frozen=True, tag=195):
    """Timer of the controller: somebody wants a VM. `following` comes as soon as this one has."""

    following: bool = False


class Place(Message, frozen=True, tag=196):
    """Controller -> agent: take this VM, which lives for so long (ns) once it has booted."""

    arrival: int
    lifetime: int


class Placed(Message, frozen=True, tag=197):
    """Agent -> controller: the host takes it, as `vm` (its base address), or not. `free` places are left."""

    arrival: int
    host: int
    vm: int
    no: No
    free: int


class AdmitVm(Message, frozen=True, tag=198):
    """Agent -> allocator: frames for this VM. `before` had its place, 0 where nobody has."""

    vm: int
    before: int


class Lease(Message, frozen=True, tag=199):
    """Agent -> load of a VM that arrives: how long it lives (ns) once it has booted."""

    lifetime: int


class BootOver(Message, frozen=True, tag=200):
    """Timer of a load: what a boot does beside accepting memory is done.

    Load -> agent: so is the boot, or it has failed.
    """

    vm: int


class HostNews(Message, frozen=True, tag=201):
    """Agent -> controller: a boot is over, or the VM of this arrival is gone (`left`). `free` places are left."""

    arrival: int
    host: int
    left: bool
    free: int


class Depart(Message, frozen=True, tag=202):
    """Timer of a load: the VM's time is over."""
