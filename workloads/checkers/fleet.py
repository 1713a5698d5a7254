"""I24, I25, L9: a VM that arrives is on one host, a host boots no more at once than it may, nobody is forgotten."""

from collections.abc import Callable, Mapping
from typing import Any

from actors.address import CONTROLLER, host_address, host_of
from actors.fleet.observations import BootChanged, RequestMoved, Stage
from workloads.checkers.inspector import Finding, Inspector, found_as, place
from workloads.checkers.tracks import Row
from workloads.plan import Plan

WAITING = (Stage.QUEUED,)  # at the end of a run: no host was left to ask
ENDED = (Stage.TURNED_AWAY, Stage.LEFT)


class FleetInspector(Inspector):
    """An inspector with books of the fleet beside those of its VMs.

    `stages` is arrival -> how far its request has come and since when, `homes` arrival -> the VM that it is, while
    it is one; `booting` is host -> its VMs that boot.
    """

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        self.stages: dict[int, tuple[Stage, int]] = {}
        self.homes: dict[int, int] = {}
        self.booting: dict[int, set[int]] = {}

    def watches(self) -> Mapping[type, Callable[[int, Any], None]]:
        """See cluster.world.Watcher."""
        return {**super().watches(), RequestMoved: self.moved, BootChanged: self.boot}

    def moved(self, now: int, fact: RequestMoved) -> None:
        """I24, by what the hosts have told the controller."""
        if fact.stage is Stage.PLACED:
            home = self.homes.get(fact.arrival)
            if home is not None:
                text = f"arrival {fact.arrival} is {place(fact.place)}, and {place(home)} as well"
                self.at_vm("I24", now, fact.place, fact, text)
            self.homes[fact.arrival] = fact.place
        if fact.stage in ENDED:
            self.stages.pop(fact.arrival, None)
            self.homes.pop(fact.arrival, None)
        else:
            self.stages[fact.arrival] = (fact.stage, now)

    def boot(self, now: int, fact: BootChanged) -> None:
        """I25."""
        booting = self.booting.setdefault(host_of(fact.vm), set())
        if not fact.begins:
            booting.discard(fact.vm)
            return
        booting.add(fact.vm)
        most = self.plan.scenario.arrivals.boots
        if len(booting) > most:
            text = f"{len(booting)} VMs boot on h{host_of(fact.vm)} at once, {most} may"
            self.at_vm("I25", now, fact.vm, fact, text)

    def at_vm(self, name: str, now: int, vm: int, fact: Any, text: str) -> None:
        """Found, and told with what has happened to the VM."""
        shadow = self.books(vm)
        shadow.now = now
        self.found([name], shadow, fact, text)

    def open(self) -> list[Finding]:
        """L9 as well: requests that have neither come to an end nor wait."""
        controller = host_address(0) | CONTROLLER
        lost = [
            [
                since,
                "L9",
                controller,
                number,
                f"arrival {number}: {stage.name.lower()}, then nothing",
            ]
            for number, (stage, since) in self.stages.items()
            if stage not in (*WAITING, Stage.PLACED)
        ]
        return sorted([*super().open(), *lost])

    def unended(self, finding: Finding) -> tuple[list[str], list[Row]]:
        """Of a request there is no more to tell."""
        if finding[1] == "L9":
            return [found_as("L9", finding[-1])], []
        return super().unended(finding)
