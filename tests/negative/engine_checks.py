"""What holds of an engine, most of it over the fleet of tests.negative.engine_fleet; a check that fails raises."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

import msgspec
from pytest import MonkeyPatch

from actors.address import GMEM, KVM, PINS, vm_address
from actors.contract import Actor, Context, Message
from cluster import keeping
from cluster import run as engine
from cluster.costs import Cost, CostModel
from cluster.digest import fleet_digest, host_digest
from cluster.drive import Handle
from cluster.faults import FaultPlan
from cluster.histogram import Histogram
from cluster.host import Host
from cluster.lasting import Lasting, WorkerLost
from cluster.local import LocalHandle, first_of
from cluster.partition import FOREVER, Order, Partition, Report
from cluster.placement import Places, packed
from cluster.run import Executor, Fleet, Kept, Outcome
from tests.negative.engine_definition import Definition
from tests.negative.engine_fleet import LINK, Failed, Gossip, Heard, Ledger, Plan, fleet
from tests.negative.little_cases import CHURN
from tests.runs import Silent, in_pieces, simulated
from workloads import queues
from workloads.outcome import little
from workloads.outcome.tally import tally
from workloads.theory import rows
from workloads.theory.models import MODELS

LOCAL = Executor(yield_after=60.0)
PLAN = Plan()
Told = tuple[Any, ...]


# --- runs ----------------------------------------------------------------------------------------


def no_pages(_: int, __: int) -> bytes:
    """Nobody reads a trace."""
    return b""


def run(
    executor: Executor = LOCAL,
    plan: Plan = PLAN,
    stop: int | None = None,
    kept: Kept = engine.NOWHERE,
) -> Outcome:
    """All partitions in this process; `stop` ends it when the driver looks up for that time."""
    start = engine.in_this_process
    return engine.run_on(fleet(plan), executor, start, no_pages, Silent(stop), kept)


def told(outcome: Outcome) -> Told:
    """All that a user may see of it, whatever the partitions."""
    heard: dict[int, int] = {}
    failed: Counter[int] = Counter()
    for word in outcome.watched:
        heard |= word["ledger"][0]
        failed.update(word["ledger"][1])
    moods = Histogram.joined(word["ledger"][2] for word in outcome.watched)
    rules: dict[tuple[int, int], tuple[int, int]] = {}
    for word in outcome.watched:
        for number, place, met, struck in word["faults"]:
            before = rules.get((number, place), (0, 0))
            rules[number, place] = before[0] + met, before[1] + struck
    return outcome.digest, outcome.census, heard, dict(failed), drawn(moods), rules


def drawn(moods: Histogram) -> Told:
    """All of a histogram."""
    return moods.count, moods.total, moods.most, moods.edges()


def same(one: Outcome, other: Outcome) -> None:
    """As far as a user can see."""
    assert told(one) == told(other)


# --- checks --------------------------------------------------------------------------------------


def definition() -> None:
    """Digest, facts and figures are what the engine comes to by its definition (tests.negative.engine_definition)."""
    plain = Definition(fleet(PLAN))
    with MonkeyPatch.context() as patch:
        patch.setattr("cluster.host._COMPACT_FROM", 8)  # or the queue would never be swept
        outcome = run()
    assert plain.digest() == outcome.digest
    ledger = Ledger()
    for now, _, fact in plain.told:
        if isinstance(fact, Heard):
            ledger.on_heard(now, fact)
        elif isinstance(fact, Failed):
            ledger.on_failed(now, fact)
    assert told(outcome)[2:5] == (ledger.heard, dict(ledger.failed), drawn(ledger.moods))


def partitions() -> None:
    """Digest, facts, counts and figures are the same with whole hosts in one partition, in two, and in three."""
    one = run()
    for count in (2, 3):
        same(one, run(Executor("ray", count)))


def pieces() -> None:
    """So where each actor of a host is in a partition of its own, or those of a kind in one."""
    one = run()
    for placement in ("kind", "instance"):
        same(one, run(Executor("ray", 0, placement)))


def yields() -> None:
    """So wherever a partition takes a rest."""
    silent = msgspec.structs.replace(PLAN, talk=False)
    same(run(plan=silent), run(Executor(yield_after=0.0), silent))


def resume() -> None:
    """So in a run that was stopped and went on from its checkpoint, on any placement."""
    one = run()
    for how, stop in ((LOCAL, 3), (Executor("ray", 2), 20), (Executor("ray", 0, "kind"), 40)):
        same(one, interrupted(replace(how, checkpoint_interval=1e9), stop))


def interrupted(how: Executor, stop: int) -> Outcome:
    """Stopped, and gone on with."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "checkpoint"
        half = run(how, stop=stop, kept=Kept(path))
        assert not half.finished
        return run(how, kept=Kept(path, saved=keeping.read(path)))


def losses() -> None:
    """So in a run whose workers are lost, now and then, and start anew from their last checkpoints."""
    start = partial(mortal, orders=7)
    other = engine.run_on(fleet(PLAN), Executor("ray", 2), start, no_pages, Silent())
    same(run(), other)
    assert other.totals.recoveries > 5


class Mortal(LocalHandle):
    """Dies over its seventh order."""

    def __init__(self, partition: Partition, orders: int) -> None:
        super().__init__(partition)
        self.left = orders

    def finish(self) -> Report:
        report = super().finish()  # the work is done, and lost
        self.left -= 1
        if not self.left:
            raise WorkerLost("killed")
        return report


class Kept5(Lasting[Mortal]):
    """With a checkpoint after every fifth order."""

    def begin(self, order: Order) -> None:
        if len(self.log) == 5:
            self.checkpoint()
        super().begin(order)


@contextmanager
def mortal(found: Fleet, _: Executor, places: Places, orders: int) -> Iterator[engine.Started]:
    """See cluster.run.Start."""
    handles: list[Handle] = []
    for place in range(places.count):

        def worker(place: int = place) -> Mortal:
            return Mortal(Partition(found.build, found.plan, places, place), orders)

        handles.append(Kept5(f"{place}", worker(), worker))
    yield handles, first_of, 1


def seed() -> None:
    """The same seed is the same run, and another seed is another one."""
    one = run()
    same(one, run())
    other = run(plan=msgspec.structs.replace(PLAN, seed=2))
    assert one.digest != other.digest


def covered() -> None:
    """Whatever is otherwise in one actor, its history or what has become of it, the digest is another one."""
    partition = finished()
    cells = [cell for host in partition.hosts.values() for cell in host.cells.values()]
    before = digest(partition)
    for cell in cells:
        cell.digest ^= 2
        assert digest(partition) != before
        cell.digest ^= 2
        assert isinstance(cell.actor, Gossip)
        cell.actor.mood += 1
        assert digest(partition) != before
        cell.actor.mood -= 1
    assert digest(partition) == before


def finished(plan: Plan = PLAN) -> Partition:
    """All hosts in one partition, to the end of a run in which they do not talk."""
    found = fleet(msgspec.structs.replace(plan, talk=False))
    partition = Partition(found.build, found.plan, packed(found.hosts, 1))
    while not partition.advance(Order(FOREVER, 60.0)).finished:
        pass
    return partition


def digest(partition: Partition) -> str:
    """Of all its hosts."""
    return fleet_digest({number: host_digest(host) for number, host in partition.hosts.items()})


def fair() -> None:
    """Where messages of two senders meet, each comes first about as often, and one sender's own keep their order."""
    said = crossing().said
    assert len(said) == 4 * ROUNDS
    for sender in SENDERS:
        numbers = [number for who, number in said if who == sender]
        assert numbers == sorted(numbers)
    first = [who for who, _ in said[::4]]
    assert 0.4 < first.count(SENDERS[0]) / ROUNDS < 0.6


ROUNDS = 200
TARGET, *SENDERS = (vm_address(0, 0) | kind for kind in (KVM, GMEM, PINS))


class Said(Message, frozen=True, tag=1):
    """Who, and how often before."""

    who: int
    number: int


class Crossed(Actor):
    """Says something twice in every round, or is told of it."""

    address: int
    number: int = 0
    said: list[tuple[int, int]] = []

    def on_said(self, message: Said, context: Context) -> None:
        if message.who != self.address:
            self.said.append((message.who, message.number))
            return
        for _ in range(2):
            self.number += 1
            context.send(TARGET, Said(self.address, self.number), LINK)
        if self.number < 2 * ROUNDS:
            context.after(10 * LINK, message)

    HANDLERS: ClassVar = {Said: on_said}


def crossing() -> Crossed:
    """Who has been told by two that speak at one time."""
    actors = {address: Crossed(address) for address in (TARGET, *SENDERS)}
    host = Host(0, actors, 1, CostModel({"link": Cost("link", LINK, 0)}), FaultPlan(1, ()), {})
    for sender in SENDERS:
        host.cells[sender].after(1, Said(sender, 0))
    host.run(FOREVER, 1 << 30)
    return actors[TARGET]


def opportunities() -> None:
    """A fault plan has met every opportunity that actors have come to, once; what has struck was told to somebody."""
    _, census, _, failed, _, rules = told(run())
    (first, struck), (second, also), (third, too) = (rules[number, 0] for number in range(3))
    assert (first, first + third) == (second, census["asked"])
    assert struck + also + too == sum(failed.values()) > 20


def in_every_run(text: str, what: str) -> Callable[[], None]:
    """The engine's own assertion with these words, which holds in any run of anybody."""

    def check() -> None:
        for how in (Executor("ray", 3), Executor("ray", 0, "kind")):
            with suppress(KeyError, ValueError):  # it may go on to crash
                try:
                    interrupted(replace(how, checkpoint_interval=1e9), 12)
                except AssertionError as error:
                    if text in str(error):
                        raise

    check.__doc__ = f"In every run of anybody, by an assertion of the engine: {what}."
    return check


def theory() -> None:
    """The engine's queues are as queueing theory has them: identities and recursions, to the nanosecond."""
    for model in MODELS[:2]:
        small = replace(model, size=300, figures=())
        assert [row.id for row in rows.judged(small, 1) if not row.ok] == []


def little_law() -> None:
    """Little's law holds at every queue."""
    outcome = simulated(*CHURN, "scenario.conversions=40")
    sums = queues.joined(word["queues"] for word in outcome.watched)
    assert little.breaches(sums, outcome.census) == []


def sums() -> None:
    """Counters, histograms and queues of a scenario are the same with each host in a partition of its own."""
    keys = ("scenario.conversions=30", "fleet.hosts=2", "fleet.vms_per_host=1")
    one, two = simulated(*keys), in_pieces(*keys, placement="host")
    assert figures(one) == figures(two)


def figures(outcome: Outcome) -> Told:
    """Counters, histograms and queues."""
    seen = tally(outcome.watched, "two-phase")
    histograms = {key: drawn(found) for key, found in seen.histograms.items()}
    return outcome.census, seen.counters, histograms, seen.queues


CHECKS: Mapping[str, Callable[[], None]] = {
    "definition": definition,
    "partitions": partitions,
    "pieces": pieces,
    "yields": yields,
    "resume": resume,
    "losses": losses,
    "seed": seed,
    "covered": covered,
    "fair": fair,
    "opportunities": opportunities,
    "past": in_every_run(
        "arrives at", "a message from another host or partition is due later than what was handled"
    ),
    "balance": in_every_run(
        "neither handled once nor taken back",
        "once it is over, messages sent are messages handled and timers taken back, over all partitions",
    ),
    "owner": in_every_run(
        "two partitions have handled", "no actor or host is told of by two partitions"
    ),
    "theory": theory,
    "L12": little_law,
    "sums": sums,
}
