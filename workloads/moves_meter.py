"""What the meter counts where VMs move: moves by what became of them, how long VMs stood still, hosts emptied."""

from collections.abc import Callable, Mapping
from typing import Any

from actors.fleet.move_messages import ENDS, Phase
from actors.fleet.move_observations import HostEmptied, MoveChanged, VcpusStopped
from workloads.fleet_meter import FleetMeter


class MovesMeter(FleetMeter):
    """A meter that knows of moves, too."""

    def watches(self) -> Mapping[type, Callable[[int, Any], None]]:
        """See cluster.world.Watcher."""
        return {
            **super().watches(),
            MoveChanged: self.changed,
            VcpusStopped: self.stood_still,
            HostEmptied: self.emptied,
        }

    def changed(self, _: int, fact: MoveChanged) -> None:
        """A move has come to a phase."""
        if fact.phase is Phase.BEGUN:
            self.counters["moves_begun",] += 1
        elif fact.phase in ENDS:
            self.counters["vm_moves", ENDS[fact.phase]] += 1

    def stood_still(self, _: int, fact: VcpusStopped) -> None:
        """A VM runs again, here or elsewhere."""
        if not fact.stopped:
            self.histogram("move_downtime").add(fact.down)

    def emptied(self, _: int, fact: HostEmptied) -> None:
        """An evacuation is over."""
        self.histogram("evacuation").add(fact.took)
