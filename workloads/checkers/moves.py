"""I27 to I29, L10, L11: a VM that moves runs on one host, which has its memory; the other host gets its own back."""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from actors import observations as o
from actors.address import CONTROLLER, host_address, vm_base
from actors.contract import PAGE_BYTES, Share
from actors.fleet.move_messages import ENDS, Phase, Ranges
from actors.fleet.move_observations import ImageTold, MoveChanged, MoveSettled, VcpusStopped
from actors.fleet.observations import BootChanged, PlaceFreed
from actors.intervals import IntervalMap
from workloads.checkers.fleet import FleetInspector
from workloads.checkers.inspector import Finding, found_as, place
from workloads.checkers.tracks import Row
from workloads.plan import Plan

Watch = Callable[[int, Any], None]
# What may come after what in one move, by the word of its two hosts. Whoever runs it next, the other one does not.
AFTER: dict[Phase, tuple[Phase, ...]] = {
    Phase.REFUSED: (Phase.BEGUN,),
    Phase.ACCEPTED: (Phase.BEGUN,),
    Phase.NOT_QUIET: (Phase.ACCEPTED,),
    Phase.UNMOVABLE: (Phase.ACCEPTED,),
    Phase.GONE: (Phase.ACCEPTED, Phase.QUIET),
    Phase.QUIET: (Phase.ACCEPTED,),
    Phase.BROKEN: (Phase.QUIET,),
    Phase.ARRIVED: (Phase.QUIET,),
    Phase.GAVE_UP: (Phase.QUIET, Phase.ARRIVED),
    Phase.BACK: (Phase.GAVE_UP,),
    Phase.DIED: (Phase.GAVE_UP,),
    Phase.RUNS: (Phase.ARRIVED,),
    Phase.RELEASED: (Phase.RUNS,),
}


class MovesInspector(FleetInspector):
    """An inspector with books of moves, too. What it knows of a VM, it knows from facts of one host, or the controller.

    `moves` is arrival -> phase, since when, and the VM; `still` are VMs whose vCPUs are stopped, `unsettled` those of
    them of which their host does not know yet whether they stay. `owing` is VM -> since when its host has no word that
    it lives there, `arrived` are those that boot where they are, `kept` is VM -> pages that a failure holds back.
    """

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        self.moves: dict[int, tuple[Phase, int, int]] = {}
        self.still: set[int] = set()
        self.unsettled: set[int] = set()
        self.arrived: set[int] = set()
        self.owing: dict[int, int] = {}
        self.freed_places: set[int] = set()
        self.kept: Counter[int] = Counter()

    def watches(self) -> Mapping[type, Watch]:
        """See cluster.world.Watcher."""
        known = super().watches()
        return {
            **known,
            MoveChanged: self.changed,
            VcpusStopped: self.stopped,
            ImageTold: self.told_of,
            MoveSettled: self.settled,
            PlaceFreed: self.place_freed,
            BootChanged: before(self.boots, known[BootChanged]),
            o.VmAdmitted: before(self.admitted, known.get(o.VmAdmitted)),
            o.FramesKept: before(self.kept_back, known.get(o.FramesKept)),
            o.VmStopped: before(self.died, known[o.VmStopped]),
            o.FileClosed: before(self.closed, known[o.FileClosed]),
            o.Requested: before(self.active, known.get(o.Requested)),
            o.GuestAccess: before(self.active, known.get(o.GuestAccess)),
        }

    def changed(self, now: int, fact: MoveChanged) -> None:
        """I27, by what the hosts have told the controller."""
        last = self.moves.get(fact.arrival)
        known = last[0] if last else None
        if known not in AFTER.get(fact.phase, (None,)):
            was = known.name.lower() if known is not None else "nothing"
            text = f"arrival {fact.arrival}: {fact.phase.name.lower()} at {place(fact.vm)}, after {was}"
            self.at_vm("I27", now, fact.vm, fact, text)
        if fact.phase in ENDS:
            self.moves.pop(fact.arrival, None)
        else:
            self.moves[fact.arrival] = (fact.phase, now, fact.vm)

    def boots(self, _: int, fact: BootChanged) -> None:
        """It lives here from its beginning."""
        self.arrived.add(fact.vm)

    def admitted(self, now: int, fact: o.VmAdmitted) -> None:
        """Frames for one that boots, or for one that is to move in."""
        if fact.vm not in self.arrived:
            self.owing[fact.vm] = now

    def stopped(self, now: int, fact: VcpusStopped) -> None:
        """Who stands still, may have to be kept."""
        if fact.stopped:
            self.still.add(fact.vm)
            self.unsettled.add(fact.vm)
            self.owing[fact.vm] = now
        else:
            self.still.discard(fact.vm)

    def active(self, now: int, fact: o.Requested | o.GuestAccess) -> None:
        """I27, by what its vCPUs do; what its death answers, it does not do."""
        if fact.vm in self.still and not self.books(fact.vm).dead:
            kind = type(fact).__name__
            text = f"{place(fact.vm)} runs ({kind}) after it has been stopped to move"
            self.at_vm("I27", now, fact.vm, fact, text)

    def settled(self, now: int, fact: MoveSettled) -> None:
        """Its memory may go, or is needed here."""
        self.unsettled.discard(fact.vm)
        if fact.stays:
            self.owing.pop(fact.vm, None)
        else:
            self.owing[fact.vm] = now

    def died(self, _: int, fact: o.VmStopped) -> None:
        """Nobody keeps what a failure has ended."""
        if not fact.regular:
            self.unsettled.discard(fact.vm)

    def closed(self, now: int, fact: o.FileClosed) -> None:
        """I28."""
        vm = vm_base(fact.gmem)
        if vm in self.unsettled:
            text = f"{place(vm)} gives its memory back, and nobody has said that it runs elsewhere"
            self.at_vm("I28", now, vm, fact, text)

    def place_freed(self, _: int, fact: PlaceFreed) -> None:
        """By the word of the host's agent."""
        self.freed_places.add(fact.vm)

    def kept_back(self, _: int, fact: o.FramesKept) -> None:
        """What goes to nobody is lost, and told of; the move has no part in it."""
        self.kept[fact.vm] += fact.end - fact.start

    def missing(self, vm: int) -> str:
        """What its host has not back of this VM."""
        freed = self.books(vm).freed
        back = sum(end - start for start, end in ranges(freed, 1)) + self.kept[vm]
        pages = self.plan.scenario.vm.memory // PAGE_BYTES - back
        if pages:
            return f"{pages} pages of its memory"
        return "" if vm in self.freed_places else "its place"

    def told_of(self, now: int, fact: ImageTold) -> None:
        """I29: as it leaves, against the books of the source; as it arrives, against those of the target."""
        books = self.books(fact.vm)
        tables = [
            ("shared", fact.shared, books.share, int(Share.SHARED)),
            ("a hole", fact.holes, books.freed, 1),
        ]
        if fact.arrives:
            tables.append(("accepted", fact.accepted, books.accepted, 1))
        for name, said, table, value in tables:
            if said != ranges(table, value):
                where = "arrives" if fact.arrives else "leaves"
                text = f"{place(fact.vm)} {where}, and other memory is {name} than its image says"
                self.at_vm("I29", now, fact.vm, fact, text)

    def open(self) -> list[Finding]:
        """L10 and L11 as well: moves that have not come to an end, and what has not come back after one that has."""
        controller = host_address(0) | CONTROLLER
        lost = [
            [
                since,
                "L10",
                controller,
                arrival,
                f"arrival {arrival}: {phase.name.lower()} at {place(vm)}, then nothing",
            ]
            for arrival, (phase, since, vm) in self.moves.items()
        ]
        owed = [
            [
                since,
                "L11",
                vm,
                vm,
                f"{place(vm)} does not live there, and its host has not {what} back",
            ]
            for vm, since in self.owing.items()
            if (what := self.missing(vm))
        ]
        return sorted([*super().open(), *lost, *owed])

    def unended(self, finding: Finding) -> tuple[list[str], list[Row]]:
        """Of a move there is no more to tell."""
        if finding[1] in ("L10", "L11"):
            return [found_as(finding[1], finding[-1])], []
        return super().unended(finding)


def before(look: Watch, then: Watch | None) -> Watch:
    """One function for a kind of fact that others look at as well."""
    if then is None:
        return look
    after = then

    def both(now: int, fact: Any) -> None:
        look(now, fact)
        after(now, fact)

    return both


def ranges(table: IntervalMap, value: int) -> Ranges:
    """Where a map has this value."""
    runs = table.runs(0, table.starts[-1] + 1)
    return tuple((start, end) for start, end, has in runs if has == value)
