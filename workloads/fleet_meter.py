"""What the meter counts where VMs arrive: requests by what became of them, and how long they waited for a host."""

from collections.abc import Callable, Mapping
from typing import Any

from actors.address import vm_of
from actors.fleet_observations import RequestMoved, Stage
from actors.observations import VmAdmitted
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

    def watches(self) -> Mapping[type, Callable[[int, Any], None]]:
        """See cluster.world.Watcher."""
        return {**super().watches(), RequestMoved: self.moved}

    def admitted(self, now: int, fact: VmAdmitted) -> None:
        """A host has taken a VM."""
        super().admitted(now, fact)
        if vm_of(fact.vm) >= self.last:
            self.counters["places_used_up",] += 1

    def moved(self, _: int, fact: RequestMoved) -> None:
        """A request has come to a stage."""
        if fact.stage in REQUESTS:
            self.counters["vm_requests", REQUESTS[fact.stage]] += 1
        if fact.stage is Stage.PLACED:
            self.histogram("vm_placement").add(fact.since)
