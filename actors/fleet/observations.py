"""Facts about VMs that arrive in a fleet, from its controller and from the agents of its hosts."""

import enum

from actors.contract import Observation


class Stage(enum.IntEnum):
    """How far a request for a VM has come, by what the controller knows."""

    CAME = 0
    ASKED = 1  # a host has been asked
    REFUSED = 2  # by that host
    QUEUED = 3  # no host is left to ask
    PLACED = 4
    TURNED_AWAY = 5  # too many wait already
    LEFT = 6  # the VM is gone, and its place is free


class RequestMoved(Observation, frozen=True, tag=203):
    """A request for a VM has come to a stage, `since` ns after it came; `place` is the VM, or the host asked."""

    arrival: int
    stage: Stage
    place: int
    since: int


class BootChanged(Observation, frozen=True, tag=204):
    """A host has taken a VM, whose boot begins, or the boot is over (or the VM gone before)."""

    vm: int
    arrival: int
    begins: bool


class PlaceFreed(Observation, frozen=True, tag=255):
    """A host's agent has the place of this VM back, for the next one if there is any."""

    vm: int
