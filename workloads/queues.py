"""Every queue of a run: who came, waited, was served and left, by the engine's clock beside what the actors say.

Two sides of Little's law, from facts that do not know of each other. The integral of the number of customers comes of
when each fact was told; the sum of their times comes of what each customer's own actor says of it. Both are integers of
nanoseconds, and over a drained queue they are equal (J. D. C. Little, Oper. Res. 9 (1961); the finite, exact form is
that of S. Stidham, Oper. Res. 22 (1974)). See workloads.outcome.little for what is made of it.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from actors import observations as o
from actors.address import HOST_SHIFT
from actors.contract import PAGE_BYTES, Reason
from actors.fleet.observations import BootChanged, RequestMoved, Stage
from actors.locks.observations import LockAsked, LockLeft, LockWaited
from actors.tdx.states import Cause
from workloads.plan import Plan

LOCKS = ("vmm", "ilock", "mmu_lock")
LOCK = Cause.LOCK  # a member is slow to look up
DEAD = Reason.DEAD


class Clock:
    """Of a host: when it answered last (ns). What comes after that is not its load's doing."""

    def __init__(self) -> None:
        self.answered = 0


class Station:
    """One queue with its server or servers. Times are ns; `kept` are its totals up to the host's last answer.

    Integrals over time are kept as sums: until t each is its level times t, plus what is here. `spent` is how long
    those who have left say that they were inside, in all; `spent_waiting` how long those who have waited say they did.
    """

    __slots__ = (
        "area", "area_waiting", "arrivals", "busy", "clock", "inside", "kept", "last", "refused",
        "spent", "spent_waiting", "waiting",
    )  # fmt: skip

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.inside = self.waiting = 0
        self.arrivals = self.refused = 0
        self.last = self.busy = self.area = self.area_waiting = 0
        self.spent = self.spent_waiting = 0
        self.kept = (0, 0, 0, 0, 0)

    def keep(self, now: int) -> None:
        """What comes now is after the last answer."""
        answered = self.clock.answered
        if self.last < answered:
            self.kept = self.until(answered)
        self.last = now

    def until(self, then: int) -> tuple[int, int, int, int, int]:
        """Arrivals, refusals, busy time and both integrals, if nothing happens until then."""
        inside, waiting = self.inside, self.waiting
        return (
            self.arrivals,
            self.refused,
            self.busy + then * (inside != waiting),
            self.area + then * inside,
            self.area_waiting + then * waiting,
        )

    def join(self, now: int, waits: bool) -> None:
        """One more, who waits or is served at once."""
        self.keep(now)
        self.arrivals += 1
        self.area -= now
        if waits:
            self.waiting += 1
            self.area_waiting -= now
        elif self.inside == self.waiting:
            self.busy -= now
        self.inside += 1

    def start(self, now: int, waited: int) -> None:
        """One who has waited so long, it says, waits no more."""
        self.keep(now)
        if self.inside == self.waiting:
            self.busy -= now
        self.waiting -= 1
        self.area_waiting += now
        self.spent_waiting += waited

    def leave(self, now: int, took: int, waits: bool = False) -> None:
        """One is gone who came so long ago, it says; where it still waits, without service."""
        self.keep(now)
        self.inside -= 1
        self.area += now
        self.spent += took
        if waits:
            self.waiting -= 1
            self.area_waiting += now
            self.spent_waiting += took
        elif self.inside == self.waiting:
            self.busy += now

    def change(self, now: int, by: int) -> None:
        """So many more are inside, or fewer, of whom nobody says how long."""
        self.keep(now)
        self.inside += by
        self.area -= by * now

    def totals(self, then: int) -> tuple[int, int, int, int, int]:
        """As `until`, up to the host's last answer."""
        return self.until(then) if self.last <= then else self.kept

    def remains(self) -> tuple[int, int, int, int]:
        """How many are inside and when they came, in all; and of those who wait.

        By Little's law what all say is the integral; who is inside has part of it, and has not said so yet.
        """
        due, due_waiting = self.spent - self.area, self.spent_waiting - self.area_waiting
        return self.inside, due, self.waiting, due_waiting

    def moments(self) -> tuple[int, int, int]:
        """How many services are known, their sum (ns), and that of their squares (us^2)."""
        return 0, 0, 0


class Server(Station):
    """A server in virtual time, first come, first served, whose customers say at once what they wait and take.

    Their turns are worked out here once more (Lindley's recursion), from when they came and what they take.
    """

    __slots__ = ("free_at", "squares", "turns")

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.free_at = self.squares = 0
        # (came, begins, ends) of those who may be there after the last answer.
        self.turns: deque[tuple[int, int, int]] = deque()

    def deal(self, now: int, ready: int, wait: int, busy: int) -> None:
        """One comes `ready` from now, and says what it waits; it has the server for `busy`."""
        self.last = now
        came = now + ready
        begins = max(came, self.free_at)
        self.free_at = ends = begins + busy
        self.arrivals += 1
        self.busy += busy
        self.squares += busy * busy
        self.area += ends - came
        self.area_waiting += begins - came
        self.spent += wait + busy
        self.spent_waiting += wait
        turns, answered = self.turns, self.clock.answered
        while turns and turns[0][2] <= answered:
            turns.popleft()
        turns.append((came, begins, ends))

    def totals(self, then: int) -> tuple[int, int, int, int, int]:
        """See Station: without what is later."""
        arrivals, refused, busy, area, area_waiting = self.until(then)
        for came, begins, ends in self.turns:
            arrivals -= came > then
            busy -= max(ends - max(begins, then), 0)
            area -= max(ends - max(came, then), 0)
            area_waiting -= max(begins - max(came, then), 0)
        return arrivals, refused, busy, area, area_waiting

    def moments(self) -> tuple[int, int, int]:
        """Of all that have come. Squares of ns would outgrow 64 bits, where a device holds the unit up."""
        return self.arrivals, self.busy, self.squares // MILLION


class TreeLock(Station):
    """A TDX module's tree lock of one TD: whoever finds it held is refused, and nobody waits."""

    __slots__ = ("until_ns",)

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.until_ns = 0

    def hold(self, now: int, held: int) -> None:
        """Held for so long from now on, alone or beside others."""
        self.keep(now)
        self.arrivals += 1
        self.area += held
        until = now + held
        if until > self.until_ns:
            self.busy += until - max(now, self.until_ns)
            self.until_ns = until

    def until(self, _: int) -> tuple[int, int, int, int, int]:
        """See Station; of each hold the whole."""
        return self.arrivals, self.refused, self.busy, self.area, 0

    def remains(self) -> tuple[int, int, int, int]:
        """See Station: nobody."""
        return 0, 0, 0, 0


class Queues:
    """One partition's stations, by resource and then by VM or host (its base address)."""

    def __init__(self, plan: Plan) -> None:
        scenario = plan.scenario
        self.pool = scenario.fleet.spare_memory // PAGE_BYTES
        self.boots = scenario.arrivals.boots
        self.clocks: dict[int, Clock] = {}
        self.stations: dict[str, dict[int, Any]] = {name: {} for name in LOCKS}

    def watches(self) -> Mapping[type, Callable[[int, Any], None]]:
        """See cluster.world.Watcher."""
        return {
            LockAsked: self.asked,
            LockWaited: self.granted,
            LockLeft: self.left,
            o.IotlbQueued: self.iotlb,
            o.AugQueued: self.aug,
            o.SeamcallAnswered: self.seamcall,
            o.Reserving: self.reserving,
            o.MemoryRefused: self.memory_refused,
            o.PagesReturned: self.returned,
            o.FramesTaken: self.taken,
            o.Requested: self.requested,
            o.Answered: self.answered,
            o.Booted: self.booted,
            RequestMoved: self.moved,
            BootChanged: self.boot,
        }

    def station(self, name: str, address: int, kind: type[Station] = Station) -> Any:
        """The one of this VM or host."""
        found = self.stations.setdefault(name, {})
        station = found.get(address)
        if station is None:
            station = found[address] = kind(self.clock(address))
        return station

    def clock(self, address: int) -> Clock:
        """The host's."""
        host = address >> HOST_SHIFT
        clock = self.clocks.get(host)
        if clock is None:
            clock = self.clocks[host] = Clock()
        return clock

    # --- locks -----------------------------------------------------------------------------------

    def asked(self, now: int, fact: LockAsked) -> None:
        station = self.stations[fact.lock].get(fact.vm)
        if station is None:
            station = self.station(fact.lock, fact.vm)
        station.join(now, fact.waits)

    def granted(self, now: int, fact: LockWaited) -> None:
        self.stations[fact.lock][fact.vm].start(now, fact.wait)

    def left(self, now: int, fact: LockLeft) -> None:
        self.stations[fact.lock][fact.vm].leave(now, fact.took, fact.waits)

    # --- servers in virtual time -----------------------------------------------------------------

    def iotlb(self, now: int, fact: o.IotlbQueued) -> None:
        server = self.station("iommu_queue", fact.queue, Server)
        server.deal(now, fact.ready, fact.wait, fact.busy)

    def aug(self, now: int, fact: o.AugQueued) -> None:
        self.station("tdx_aug", fact.vm, Server).deal(now, 0, fact.wait, fact.busy)

    # --- the TDX module's locks, of which nobody waits for any -------------------------------------

    def seamcall(self, now: int, fact: o.SeamcallAnswered) -> None:
        if fact.held:
            self.station("tdx_tree", fact.vm, TreeLock).hold(now, fact.held)
        elif fact.cause == LOCK:
            self.station("tdx_tree", fact.vm, TreeLock).refused += 1

    # --- the host's pool of pages, whose customers are pages -----------------------------------------

    def pages(self, now: int, address: int, pages: int) -> Station:
        """So many more are in use."""
        host = address >> HOST_SHIFT << HOST_SHIFT
        station: Station = self.station("allocator", host)
        station.change(now, pages)
        return station

    def reserving(self, now: int, fact: o.Reserving) -> None:
        self.pages(now, fact.vm, fact.pages).arrivals += 1

    def memory_refused(self, now: int, fact: o.MemoryRefused) -> None:
        self.pages(now, fact.vm, -fact.pages).refused += 1

    def returned(self, now: int, fact: o.PagesReturned) -> None:
        self.pages(now, fact.vm, -fact.pages)

    def taken(self, now: int, fact: o.FramesTaken) -> None:
        self.pages(now, fact.vm, fact.pages)

    # --- requests in flight, by host -----------------------------------------------------------------

    def requested(self, now: int, fact: o.Requested) -> None:
        station = self.station("requests", fact.vm >> HOST_SHIFT << HOST_SHIFT)
        station.join(now, False)
        station.spent -= fact.late  # its time runs from when it was due

    def answered(self, now: int, fact: o.Answered) -> None:
        clock = self.clock(fact.vm)
        station = self.station("requests", fact.vm >> HOST_SHIFT << HOST_SHIFT)
        station.leave(now, max(fact.latency, 0))
        clock.answered = now

    def booted(self, now: int, fact: o.Booted) -> None:
        self.clock(fact.vm).answered = now

    # --- VMs that arrive -----------------------------------------------------------------------------

    def moved(self, now: int, fact: RequestMoved) -> None:
        station = self.station("admission", 0)
        if fact.stage is Stage.CAME:
            station.join(now, True)
        elif fact.stage in (Stage.PLACED, Stage.TURNED_AWAY):
            station.leave(now, fact.since, True)

    def boot(self, now: int, fact: BootChanged) -> None:
        station: Station = self.station("boot_slots", fact.vm >> HOST_SHIFT << HOST_SHIFT)
        station.change(now, 1 if fact.begins else -1)
        station.arrivals += fact.begins

    # --- what came of it -----------------------------------------------------------------------------

    def result(self) -> dict[str, Any]:
        """See cluster.world.Watcher: by resource, sums over its stations that add up over partitions."""
        return {
            name: self.summed(name, found.values())
            for name, found in self.stations.items()
            if found
        }

    def so_far(self) -> dict[str, Any]:
        """See cluster.world.Watcher: nobody asks before the end."""
        return {}

    def summed(self, name: str, stations: Iterable[Station]) -> dict[str, int]:
        """Of the stations of one resource; `window` is how long each was looked at, in all."""
        slots = {"allocator": self.pool, "boot_slots": self.boots}.get(name, 0)
        sums = dict.fromkeys(SUMS, 0)
        most = 0
        for station in stations:
            then = station.clock.answered or station.last
            arrivals, refused, busy, area, area_waiting = station.totals(then)
            used = max(area, 0) // slots if slots else min(busy, then)
            sizes = *station.remains(), *station.moments()
            row = (1, then, arrivals, refused, used, area, area_waiting, *sizes)
            for key, value in zip(SUMS, row, strict=True):
                sums[key] += value
            most = max(most, MILLION * used // then if then else 0)
        return {**sums, MOST: most}


MOST, MILLION = "most_ppm", 1_000_000  # of the station that is busiest
SUMS = (
    "stations", "window", "arrivals", "refused", "busy", "area", "area_waiting", "inside", "due",
    "waiting", "due_waiting", "services", "service", "service_squares",
)  # fmt: skip


def joined(words: Iterable[Mapping[str, Mapping[str, int]]]) -> dict[str, dict[str, int]]:
    """The words of all partitions, by resource."""
    found: dict[str, dict[str, int]] = {}
    for word in words:
        for name, sums in word.items():
            total = found.setdefault(name, {**dict.fromkeys(SUMS, 0), MOST: 0})
            for key in SUMS:
                total[key] += sums[key]
            total[MOST] = max(total[MOST], sums[MOST])
    return found
