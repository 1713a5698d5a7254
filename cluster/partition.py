"""A partition: some hosts, advanced together to a horizon. Ray only carries it (cluster/ray_partitions.py)."""

import time
from collections.abc import Sequence

import msgpack
import msgspec

import actors.messages
from actors.address import HOST_SHIFT
from cluster.batch import Codec, Crossing, message_types
from cluster.cell import SEQUENCE_BITS
from cluster.digest import host_digest
from cluster.host import Host
from cluster.memory import quiet_collector
from cluster.world import Build, World, dispatch_table

FOREVER = 1 << 62
SLICE_NS_MIN = 1_000_000
SLICE_NS_MAX = 1 << 50
# Hosts run one after the other in slices of simulated time, each as long as keeps a pass over all hosts near this.
PASS_SECONDS = 0.03
EVENTS_AT_A_TIME = 20_000


class Order(msgspec.Struct, array_like=True):
    """What the driver asks of a partition: run to `horizon`, but come back after `wall` seconds."""

    horizon: int
    wall: float
    watch: bool = False  # report what the watchers have seen so far
    inbound: list[bytes] = []
    pages: list[tuple[int, int, bytes]] = []  # feed source, page number, records


class Report(msgspec.Struct, array_like=True):
    """What a partition has to say."""

    next_time: int | None  # when its next event is due
    posted: int | None  # when the earliest message of `outbound` is due
    now: int  # time of the last event handled
    outbound: list[tuple[int, bytes]]  # (partition, batch)
    wanted: list[tuple[int, int]]
    events: int
    crossed: int
    busy: float
    finished: bool  # everything due before the horizon is handled
    watched: bytes  # msgpack of {watcher: result}, empty unless asked for


class Partition:
    """Hosts of one worker. `places` says which partition each host of the fleet is in."""

    def __init__(
        self,
        build: Build,
        plan: bytes,
        hosts: Sequence[int],
        places: Sequence[int],
        place: int = 0,
    ) -> None:
        world = build(plan, hosts)
        self.world: World = world
        self.places = places
        self.place = place
        self.codec = Codec(world.types or message_types(actors.messages))
        table = dispatch_table(world.watchers)
        self.hosts = {
            number: Host(number, members, world.seed, world.costs, world.faults, table)
            for number, members in world.actors.items()
        }
        for at, address, message in world.first:
            cell = self.hosts[address >> HOST_SHIFT].cells[address]
            cell.after(max(1, at), message)
        self._slice = SLICE_NS_MIN
        quiet_collector()

    # --- one order -------------------------------------------------------------------------------

    def advance(self, order: Order) -> Report:
        """Take what came in, run, and tell what goes out."""
        began = time.perf_counter()
        self._take(order)
        events = 0
        while True:
            passed = time.perf_counter()
            ran = self._pass(order.horizon)
            events += ran
            now = time.perf_counter()
            if not ran or now - began > order.wall:
                break
            self._slice = _next_slice(self._slice, now - passed)
        return self._report(events, order, time.perf_counter() - began)

    def _take(self, order: Order) -> None:
        for batch in order.inbound:
            for due, stamp, target, message in self.codec.decode(batch, SEQUENCE_BITS):
                self.hosts[target >> HOST_SHIFT].deliver(due, stamp, target, message)
        for source, page, records in order.pages:
            for feeds in self.world.feeds.values():
                for feed in feeds:
                    feed.supply(source, page, records)

    def _pass(self, horizon: int) -> int:
        """Every host to the end of the current slice; returns events handled."""
        waiting = [
            (at, host) for host in self.hosts.values() if (at := host.next_time()) is not None
        ]
        if not waiting:
            return 0
        edge = min(horizon, min(at for at, _ in waiting) + self._slice)
        return sum(self._run(host, edge) for at, host in waiting if at < edge)

    def _run(self, host: Host, edge: int) -> int:
        """One host to `edge`, never further than its feeds reach."""
        feeds = self.world.feeds.get(host.number, ())
        done = 0
        while True:
            most = min((feed.ahead() for feed in feeds), default=EVENTS_AT_A_TIME)
            ran = host.run(edge, most) if most > 0 else 0
            done += ran
            if not ran:
                return done

    def _report(self, events: int, order: Order, busy: float) -> Report:
        outbound = self._post()
        crossed = sum(map(len, outbound.values()))
        times = [at for host in self.hosts.values() if (at := host.next_time()) is not None]
        finished = not times or min(times) >= order.horizon
        due = [crossing[0] for crossings in outbound.values() for crossing in crossings]
        feeds = [feed for members in self.world.feeds.values() for feed in members]
        return Report(
            min(times, default=None),
            min(due, default=None),
            self.last_time(),
            [
                (place, self.codec.encode(crossings, SEQUENCE_BITS))
                for place, crossings in sorted(outbound.items())
            ],
            sorted({page for feed in feeds for page in feed.wanted()}),
            events,
            crossed,
            busy,
            finished,
            self.watched() if order.watch else b"",
        )

    def _post(self) -> dict[int, list[Crossing]]:
        """Messages between hosts: to our own at once, the rest by partition."""
        outbound: dict[int, list[Crossing]] = {}
        for host in self.hosts.values():
            for crossing in host.outbox:
                due, stamp, target, message = crossing
                place = self.places[target >> HOST_SHIFT]
                if place == self.place:
                    self.hosts[target >> HOST_SHIFT].deliver(due, stamp, target, message)
                else:
                    outbound.setdefault(place, []).append(crossing)
            host.outbox = []
        return outbound

    def watched(self) -> bytes:
        """What the watchers have seen so far, and how often faults have struck."""
        results = {name: watcher.result() for name, watcher in self.world.watchers.items()}
        results["faults"] = self.world.faults.counts()
        packed: bytes = msgpack.packb(results)
        return packed

    def digests(self) -> dict[int, bytes]:
        """Host -> its part of the digest."""
        return {number: host_digest(host) for number, host in self.hosts.items()}

    def census(self) -> dict[str, int]:
        """The world's own count over its actors' states."""
        actors = (cell.actor for host in self.hosts.values() for cell in host.cells.values())
        return self.world.census(actors)

    def last_time(self) -> int:
        """When the last event was handled, ns."""
        return max((host.now for host in self.hosts.values()), default=0)


def _next_slice(width: int, seconds: float) -> int:
    """Twice as long while passes are short, half when they are long."""
    if seconds < PASS_SECONDS / 2:
        return min(width * 2, SLICE_NS_MAX)
    if seconds > PASS_SECONDS * 2:
        return max(width // 2, SLICE_NS_MIN)
    return width
