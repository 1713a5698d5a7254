"""What the meter counts where VMs arrive: requests by what became of them, how long they waited for a host, and when
their VMs were up.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from actors.address import vm_of
from actors.fleet.observations import BootChanged, RequestMoved, Stage
from actors.observations import Booted, VmAdmitted
from cluster.histogram import Histogram
from workloads.meter import Meter

# What of a request is counted, and as what.
REQUESTS = {
    Stage.CAME: "came",
    Stage.REFUSED: "refused",
    Stage.QUEUED: "queued",
    Stage.PLACED: "placed",
    Stage.TURNED_AWAY: "turned_away",
    Stage.LEFT: "left",
}


class FleetMeter(Meter):
    """A meter that knows of requests for VMs, too. VMs of a host from number `last` on are the last ones there."""

    def __init__(self, protocol: str, last: int) -> None:
        super().__init__(protocol)
        self.last = last
        # Who asks, who boots for whom, and whose boot is over may be told in three partitions: joined in `until_up`.
        self.came: list[tuple[int, int]] = []  # request, when (ns)
        self.begun: list[tuple[int, int, int]] = []  # VM, when, request
        self.up: list[tuple[int, int]] = []  # VM, when

    def watches(self) -> Mapping[type, Callable[[int, Any], None]]:
        """See cluster.world.Watcher."""
        return {**super().watches(), RequestMoved: self.moved, BootChanged: self.boots}

    def admitted(self, now: int, fact: VmAdmitted) -> None:
        """A host has taken a VM."""
        super().admitted(now, fact)
        if vm_of(fact.vm) >= self.last:
            self.counters["places_used_up",] += 1

    def moved(self, now: int, fact: RequestMoved) -> None:
        """A request has come to a stage."""
        if fact.stage is Stage.CAME:
            self.came.append((fact.arrival, now))
        if fact.stage in REQUESTS:
            self.counters["vm_requests", REQUESTS[fact.stage]] += 1
        if fact.stage is Stage.PLACED:
            self.histogram("vm_placement").add(fact.since)

    def boots(self, now: int, fact: BootChanged) -> None:
        """A VM begins to boot for a request."""
        if fact.begins:
            self.begun.append((fact.vm, now, fact.arrival))

    def booted(self, now: int, fact: Booted) -> None:
        """A VM is up."""
        super().booted(now, fact)
        self.up.append((fact.vm, now))

    def result(self) -> dict[str, Any]:
        """See cluster.world.Watcher."""
        return {**super().result(), "came": self.came, "begun": self.begun, "up": self.up}


def until_up(words: Iterable[Mapping[str, Any]]) -> Histogram:
    """Time from when a request came until its VM was up, over all partitions; of those whose VM was.

    One place has several VMs, one after the other: whose boot is over is who was the last to begin one there. What a
    partition that was lost knew of a VM leaves it out.
    """
    several = list(words)
    came = {request: at for word in several for request, at in word.get("came", ())}
    begun = sorted(tuple(one) for word in several for one in word.get("begun", ()))
    found = Histogram()
    for vm, now in (one for word in several for one in word.get("up", ())):
        place = bisect_right(begun, (vm, now)) - 1
        if place >= 0 and begun[place][0] == vm and begun[place][2] in came:
            found.add(now - came[begun[place][2]])
    return found
