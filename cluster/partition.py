"""A partition: some hosts, advanced together to a horizon. Ray only carries it (cluster/ray_partitions.py)."""

import time
from collections.abc import Iterator, Mapping

import msgspec

import actors.messages
from actors.address import HOST_SHIFT
from actors.contract import Actor
from cluster import checkpoint
from cluster.batch import Codec, Crossing, message_types
from cluster.cell import SEQUENCE_BITS, Cell
from cluster.digest import actor_parts, host_digest
from cluster.host import Host
from cluster.memory import quiet_collector
from cluster.placement import Places
from cluster.telling import TellingCell, encode, numbered, packed, results, so_far
from cluster.world import Build, Feed, World, dispatch_table

FOREVER = 1 << 62
SLICE_NS_MIN = 1_000_000
SLICE_NS_MAX = 1 << 50
# Hosts run one after the other in slices of simulated time, each as long as keeps a pass over all hosts near this:
# long enough for a host to be worth the caches that it takes from the one before.
PASS_SECONDS = 0.03
HOST_SECONDS = 0.002
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
    handled: int  # events since its beginning
    crossed: int
    busy: float
    finished: bool  # everything due before the horizon is handled
    watched: bytes  # msgpack of {watcher: result}, empty unless asked for
    told: list[bytes]  # what its actors have observed, where the driver watches


class Partition:
    """The actors of one worker: whole hosts, or what `places` gives it of them."""

    def __init__(self, build: Build, plan: bytes, places: Places, place: int = 0) -> None:
        world = build(plan, places.hosts(place))
        self.world: World = world
        self.places = places
        self.place = place
        self.codec = Codec(world.types or message_types(actors.messages))
        table = dispatch_table(world.watchers)
        self.numbers = {found: n for n, found in enumerate(numbered(table))}
        kind = Cell if places.whole else TellingCell
        self.hosts = {
            number: Host(
                number, self._own(members), world.seed, world.costs, world.faults, table, kind
            )
            for number, members in world.actors.items()
        }
        self._feed(world.feeds)
        for at, address, message in world.first:
            cell = self.hosts[address >> HOST_SHIFT].cells.get(address)
            if cell:
                cell.after(max(1, at), message)
        self._slice = SLICE_NS_MIN
        quiet_collector()

    def _feed(self, feeds: Mapping[int, Feed]) -> None:
        """Those whose consumers live here."""
        self.by_consumer = {
            at: feed for at, feed in feeds.items() if self.places.of(at) == self.place
        }
        self.feeds: dict[int, list[Feed]] = {}  # by host
        for address, feed in self.by_consumer.items():
            self.feeds.setdefault(address >> HOST_SHIFT, []).append(feed)

    def checkpoint(self) -> bytes:
        """Its state between two orders."""
        return checkpoint.save(self)

    def resume(self, state: bytes) -> int:
        """Go on from a checkpoint, in a partition that was built for the same place; returns the events until then."""
        hosts, faults, watchers, feeds = checkpoint.load(state)
        if hosts.keys() != self.hosts.keys() or watchers.keys() != self.world.watchers.keys():
            raise checkpoint.BadCheckpointError("a checkpoint of another fleet")
        with checkpoint.restoring():
            self.world.faults.restore(faults)
            self.world.watchers = watchers
            self._feed(feeds)
            table = dispatch_table(watchers)
            for number, saved in hosts.items():
                checkpoint.resume(self.hosts[number], saved)
                self.hosts[number].watchers = table
            return self.handled()

    def _own(self, members: Mapping[int, Actor]) -> Mapping[int, Actor]:
        """Those of a host's actors that live here."""
        if self.places.whole:
            return members
        return {at: actor for at, actor in members.items() if self.places.of(at) == self.place}

    # --- one order -------------------------------------------------------------------------------

    def advance(self, order: Order) -> Report:
        """Take what came in, run, and tell what goes out."""
        began = time.perf_counter()
        self._take(order)
        while True:
            passed = time.perf_counter()
            ran = self._pass(order.horizon, began + order.wall)
            now = time.perf_counter()
            if not ran or now - began > order.wall:
                break
            target = max(PASS_SECONDS, HOST_SECONDS * len(self.hosts))
            self._slice = _next_slice(self._slice, (now - passed) / target)
        return self._report(order, time.perf_counter() - began)

    def _take(self, order: Order) -> None:
        for batch in order.inbound:
            for due, stamp, target, message in self.codec.decode(batch, SEQUENCE_BITS):
                self.hosts[target >> HOST_SHIFT].deliver(due, stamp, target, message)
        for source, page, records in order.pages:
            for feeds in self.feeds.values():
                for feed in feeds:
                    feed.supply(source, page, records)

    def _pass(self, horizon: int, until: float) -> int:
        """Every host to the end of the current slice, or those that it comes to before `until`; returns events handled.

        The next pass begins with those that are behind.
        """
        waiting = [
            (at, host) for host in self.hosts.values() if (at := host.next_time()) is not None
        ]
        if not waiting:
            return 0
        edge = min(horizon, min(at for at, _ in waiting) + self._slice)
        done = 0
        for at, host in waiting:
            if at < edge:
                done += self._run(host, edge)
                if time.perf_counter() > until:
                    break
        return done

    def _run(self, host: Host, edge: int) -> int:
        """One host to `edge`, never further than its feeds reach."""
        feeds = self.feeds.get(host.number, ())
        done = 0
        while True:
            most = min((feed.ahead() for feed in feeds), default=EVENTS_AT_A_TIME)
            ran = host.run(edge, most) if most > 0 else 0
            done += ran
            if not ran:
                return done

    def _report(self, order: Order, busy: float) -> Report:
        outbound = self._post()
        crossed = sum(map(len, outbound.values()))
        times = [at for host in self.hosts.values() if (at := host.next_time()) is not None]
        finished = not times or min(times) >= order.horizon
        due = [crossing[0] for crossings in outbound.values() for crossing in crossings]
        feeds = [feed for members in self.feeds.values() for feed in members]
        return Report(
            min(times, default=None),
            min(due, default=None),
            self.last_time(),
            [
                (place, self.codec.encode(crossings, SEQUENCE_BITS))
                for place, crossings in sorted(outbound.items())
            ],
            sorted({page for feed in feeds for page in feed.wanted()}),
            self.handled(),
            crossed,
            busy,
            finished,
            self.so_far() if order.watch and self.places.whole else b"",
            self._tell(),
        )

    def _tell(self) -> list[bytes]:
        """What the actors have observed since the last report, where the driver watches."""
        if self.places.whole:
            return []
        told = [fact for host in self.hosts.values() for fact in host.told]
        for host in self.hosts.values():
            host.told = []
        return [encode(told, self.numbers)] if told else []

    def _post(self) -> dict[int, list[Crossing]]:
        """Messages between hosts: to our own at once, the rest by partition."""
        outbound: dict[int, list[Crossing]] = {}
        for host in self.hosts.values():
            for crossing in host.outbox:
                due, stamp, target, message = crossing
                place = self.places.of(target)
                if place == self.place:
                    self.hosts[target >> HOST_SHIFT].deliver(due, stamp, target, message)
                else:
                    outbound.setdefault(place, []).append(crossing)
            host.outbox = []
        return outbound

    def watched(self) -> bytes:
        """What the watchers have seen, and how often faults have struck."""
        return packed(results(self.world.watchers), self.world.faults.counts(), self.backlog())

    def so_far(self) -> bytes:
        """The same while it goes on."""
        return packed(so_far(self.world.watchers), self.world.faults.counts(), self.backlog())

    def digests(self) -> dict[int, bytes]:
        """Host -> its part of the digest; address -> an actor's, where hosts are not whole."""
        if self.places.whole:
            return {number: host_digest(host) for number, host in self.hosts.items()}
        return dict(part for host in self.hosts.values() for part in actor_parts(host))

    def census(self) -> dict[str, int]:
        """The world's own count over its actors' states."""
        return self.world.census(self._actors())

    def balance(self) -> int:
        """See cluster.host.Host."""
        return sum(host.balance() for host in self.hosts.values())

    def backlog(self) -> int:
        """What the load has asked for and nobody has begun, once the world can tell."""
        times = [at for host in self.hosts.values() if (at := host.next_time()) is not None]
        return self.world.backlog(min(times), self._actors()) if times else 0

    def _actors(self) -> Iterator[Actor]:
        return (cell.actor for host in self.hosts.values() for cell in host.cells.values())

    def handled(self) -> int:
        """Events since its beginning."""
        return sum(host.handled for host in self.hosts.values())

    def last_time(self) -> int:
        """When the last event was handled, ns."""
        return max((host.now for host in self.hosts.values()), default=0)


def _next_slice(width: int, took: float) -> int:
    """Twice as long while passes are short, half when they are long; `took` is in units of what they should take."""
    if took < 0.5:
        return min(width * 2, SLICE_NS_MAX)
    if took > 2:
        return max(width // 2, SLICE_NS_MIN)
    return width
