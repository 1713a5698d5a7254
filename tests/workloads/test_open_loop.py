"""An open loop asks for the same at the same times, whatever becomes of it; and protocols meet the same faults."""

from collections import Counter

import pytest

from actors import messages as m
from actors import observations as o
from actors.contract import Fault, Reason, Share
from actors.names import PIECE
from actors.protocols import PROTOCOLS
from cluster.faults import FaultPlan
from tests.helpers import TIMER, Recorder, Sent
from tests.runs import Silent
from tests.toy_protocols import LIAR, TWIN, registered
from workloads import meter, scenario, simulate
from workloads.adjust import adjusted
from workloads.census import WAITING
from workloads.loads.load import Load
from workloads.loads.pace import closed_loops
from workloads.loads.programs import SECOND_NS, ChurnProgram
from workloads.outcome.summary import summarise
from workloads.outcome.tally import tally
from workloads.scenario import KINDS, Churn

OPEN = 'workload=[{kind="churn",pace="open",rate=400,touch=0}]'
SMALL = ("fleet.hosts=2", "fleet.vms_per_host=2", "scenario.duration=500ms", "vm.memory=64MiB")
BUGS = 'fault=[{point="tdx.bug",probability=0.01},{point="alloc.pages",probability=0.05}]'


@pytest.fixture(scope="module", autouse=True)
def toys():
    with registered(TWIN, LIAR):
        yield


def decode(*overrides):
    return scenario.decode("", "small.toml", (*SMALL, *overrides))


class Seen:
    """What a run was asked for and what struck it: watches the meter's facts and every draw of the fault plan."""

    def __init__(self, monkeypatch, found):
        self.requests: dict[tuple[int, int], tuple[int, int, Share]] = {}
        self.answers: list[o.Answered] = []
        self.draws: dict[tuple[str, int, int], Fault | None] = {}
        self.taken: set[tuple[int, int]] = set()
        answered, choose = meter.Meter.answered, FaultPlan.choose
        requested = meter.Meter.requested

        def note(counting, now, fact: o.Answered):
            self.answers.append(fact)
            self.requests.setdefault((fact.vm, fact.request), (fact.start, fact.end, fact.to))
            answered(counting, now, fact)

        def take(counting, now, fact: o.Requested):
            self.taken.add((fact.vm, fact.request))
            requested(counting, now, fact)

        def draw(plan, point, count, key, *more):
            fault = choose(plan, point, count, key, *more)
            self.draws[point, count, key] = fault
            return fault

        with monkeypatch.context() as patch:
            patch.setattr(meter.Meter, "answered", note)
            patch.setattr(meter.Meter, "requested", take)
            patch.setattr(FaultPlan, "choose", draw)
            self.outcome = simulate.run(simulate.prepare(found), Silent())


# --- the program ---------------------------------------------------------------------------------


def churn(lanes=4, **keys):
    return ChurnProgram(Churn(outstanding=lanes, pace="open", **keys), 4096, 1, 256)


def test_each_lane_has_one_conversion_in_each_slot():
    program, slot = churn(rate=1000.0), 4 * SECOND_NS / 1000
    for lane in range(4):
        due = [program.job(lane, step).wait for step in range(200)]
        assert [int(at // slot) for at in due] == list(range(200))
        assert len({round(at % slot) for at in due}) > 190


def test_what_was_shared_is_taken_back():
    program = churn()
    for step in range(0, 40, 2):
        out, back = program.job(1, step), program.job(1, step + 1)
        assert (out.start, out.end, out.to, back.to) == (back.start, back.end, 1, 0)


def test_an_open_churn_and_a_closed_one_convert_the_same_ranges():
    closed = ChurnProgram(Churn(outstanding=4), 4096, 1, 256)
    for step in range(20):
        one, other = churn().job(2, step), closed.job(2, step)
        assert one and other and one._replace(wait=0) == other._replace(wait=0)


# --- the load ------------------------------------------------------------------------------------


def load(pace="open"):
    """A load that was born at 5 us, and what it did at its first tick."""
    program = ChurnProgram(Churn(outstanding=1, pace=pace), 4096, 1, 256)
    actor, context = Load(256, program, 0, SECOND_NS, 5_000, [0]), Recorder()
    context.now = 5_000
    actor.on_tick(m.Tick(0), context)
    return actor, context, program


def test_the_first_conversion_is_due_at_its_own_time_too():
    actor, context, program = load()
    due = program.job(0, 0).wait
    assert context.take() == [Sent(TIMER, m.Tick(0), due)]
    context.now += due
    actor.on_tick(m.Tick(0), context)
    ask, timer = context.take()
    assert (ask.message.task, ask.message.since) == (1, 5_000 + due)
    assert timer.delay == program.job(0, 1).wait - due


def test_a_closed_loop_begins_at_once_and_waits():
    _, context, _ = load("closed")
    assert [type(sent.message) for sent in context.take()] == [m.Ask]


@pytest.mark.parametrize(("pace", "goes_on"), [("open", True), ("closed", False)])
def test_after_a_death_only_an_open_loop_goes_on(pace, goes_on):
    actor, context, program = load(pace)
    if pace == "open":
        context.now += program.job(0, 0).wait
        actor.on_tick(m.Tick(0), context)
    actor.on_done(m.TaskDone(1, Reason.DEAD), context)
    assert bool(actor.until) == goes_on


# --- the run -------------------------------------------------------------------------------------


def test_as_many_are_asked_for_as_the_rate_says(monkeypatch):
    seen = Seen(monkeypatch, decode(OPEN, "vm.interrupt_probability=0"))
    assert len(seen.answers) == pytest.approx(4 * 400 * 0.5, rel=0.02)
    assert {fact.reason for fact in seen.answers} == {Reason.NONE}


def test_a_queue_that_grows_shows_in_the_latency(monkeypatch):
    slow = Seen(monkeypatch, decode(OPEN, "costs.override.vmm_overhead=50ms", "scenario.seed=3"))
    last = [fact.latency for fact in slow.answers][-50:]
    assert min(last) > 1_000_000_000


def test_a_dead_vm_is_asked_for_as_much_as_one_that_lives(monkeypatch):
    quiet = Seen(monkeypatch, decode(OPEN, "vm.interrupt_probability=0"))
    deadly = Seen(monkeypatch, decode(OPEN, "vm.interrupt_probability=0", BUGS))
    dead = Counter(fact.reason for fact in deadly.answers)[Reason.DEAD]
    assert dead > 100
    asked = {name: what for name, what in deadly.requests.items() if name in quiet.requests}
    assert asked == quiet.requests


def test_a_closed_loop_asks_a_dead_vm_for_nothing(monkeypatch):
    seen = Seen(monkeypatch, decode(BUGS, "scenario.conversions=2000"))
    answered = Counter(fact.reason for fact in seen.answers)
    assert answered[Reason.BUG] > 0
    assert answered[Reason.DEAD] < 4 * 4 and len(seen.answers) < 2000


def test_what_a_dead_vm_is_asked_for_has_failed_without_a_latency(monkeypatch):
    seen = Seen(monkeypatch, decode(OPEN, BUGS))
    told = tally(seen.outcome.watched, "two-phase")
    never = sum(fact.latency == o.NO_LATENCY for fact in seen.answers)
    assert told.count("at_dead_vms") == sum(fact.reason is Reason.DEAD for fact in seen.answers)
    assert told.histogram("conversion_latency").count == len(seen.answers) - never
    assert never > 100


# --- protocols -----------------------------------------------------------------------------------


def first_try(request):
    """Nothing that failed before has led to it (actors.names)."""
    return request & 3 == PIECE and not request >> 2 + 22 + 12


@pytest.fixture(scope="module")
def asked():
    """What two-phase is asked for, while some of its VMs die."""
    with pytest.MonkeyPatch.context() as patch:
        return Seen(patch, decode(OPEN, BUGS)).requests


@pytest.mark.parametrize("protocol", [*PROTOCOLS, "twin", "liar"])
def test_protocols_are_asked_for_the_same(monkeypatch, asked, protocol):
    """Those that spin for ever leave some of it waiting."""
    seen = Seen(monkeypatch, adjusted(decode(OPEN, BUGS), protocol).scenario)
    first = {name for name in seen.taken if first_try(name[1])}
    waiting = seen.outcome.census[WAITING]
    assert first <= {name for name in asked if first_try(name[1])}
    assert len(first) + waiting == sum(first_try(name[1]) for name in asked) > 700
    assert all(what == asked.get(name, what) for name, what in seen.requests.items())


@pytest.mark.parametrize("load", [OPEN, 'workload=[{kind="churn",touch=0}]'])
def test_other_times_are_no_other_faults(monkeypatch, load):
    """Slower hardware stands for any protocol that takes another time: the same opportunities, the same fates."""
    rare = (
        'fault=[{point="alloc.pages",probability=0.05},{point="pins.transient",probability=0.05}]'
    )
    limit = "scenario.conversions=800"
    one = Seen(monkeypatch, decode(load, rare, limit)).draws
    slow = ("costs.override.vmm_overhead=300us", "costs.override.remove_4k=20us")
    other = Seen(monkeypatch, decode(load, rare, limit, *slow)).draws
    common = one.keys() & other.keys()
    assert len(common) > 0.97 * max(len(one), len(other))
    assert [one[name] for name in common] == [other[name] for name in common]
    assert sum(fault is not None for fault in one.values()) > 50


SCRIPT = ", ".join(f"use {n}MiB+1MiB, private {n}MiB+1MiB" for n in range(16))
# Every kind of workload as an open loop.
OPENED = {
    "trace": 'log=["td-boot-iso.log"],pace="rate",rate=3000',
    "churn": 'pace="open",rate=400',
    "boot": 'pace="open",rate=1000,firmware_conversions=100,swiotlb_min="4MiB",swiotlb_max="4MiB"',
    "hot-range": 'pace="open",rate=4000,vcpus=2,rounds=1',
    "notifier-storm": 'pace="open",conversion_rate=400',
    "pin-holders": 'pace="open",conversion_rate=400',
    "memory-pressure": 'pace="open",conversion_rate=400',
    "memory-failure": 'pace="open",conversion_rate=400',
    "dma-storm": 'pace="open",rate=400,dma_rate=1000',
    "balloon": 'pace="open",conversion_rate=400,size="16MiB"',
    "sweep": 'pace="open",rate=20,window="8MiB"',
    "shutdown": 'pace="open"',
    "script": f'pace="open",rate=400,lanes=["{SCRIPT}"]',
    "hostile": 'pace="open",rate=2000',
}


# Whose vCPUs fault without a pause.
SHORTER = {"hostile": ("scenario.duration=50ms",)}


def conversions(kind, protocol):
    """`conversions` of the summary, after a run in which VMs died."""
    load = f'workload=[{{kind="{kind}",{OPENED[kind]}}}]'
    found = adjusted(decode(load, BUGS, *SHORTER.get(kind, ())), protocol).scenario
    return summarise(found, simulate.run(simulate.prepare(found), Silent()))["conversions"]


def test_every_kind_has_an_open_loop():
    assert {*OPENED} == {*KINDS}


@pytest.mark.parametrize("kind", OPENED)
def test_every_kind_asks_every_protocol_for_as_much(kind):
    told = [conversions(kind, name) for name in ("two-phase", "two-phase-refcount", "undo")]
    assert told[0]["asked"] == told[1]["asked"] == told[2]["asked"] > 0
    assert any(one["failed"] + one["unfinished"] for one in told)
    for one in told:
        assert one["asked"] - one["cut_short"] + one["on_top"] == one["requested"]
        assert one["cut_short"] >= 0


def test_what_a_mapgpa_did_not_come_to_is_cut_short():
    window = 'workload=[{kind="sweep",pace="open",rate=20,window="8MiB",writers=0,passes=1}]'
    fails = 'fault=[{point="gmem.tree",nth=2,lasts="10s"}]'
    found = decode(
        window,
        fails,
        "vm.guest_retries=0",
        "vmm.retry=report",
        "vm.interrupt_probability=0",
    )
    told = summarise(found, simulate.run(simulate.prepare(found), Silent()))["conversions"]
    # In each VM one piece of 32 is done. The next one fails, and again when the guest goes on behind what was done; so
    # does the first piece of the other seven windows, and nobody comes to the rest.
    assert (told["asked"], told["completed"], told["failed"]) == (4 * 32, 4, 4 * (2 + 7))
    assert (told["cut_short"], told["on_top"]) == (4 * (32 - 1 - 8), 4)


# --- what is open --------------------------------------------------------------------------------

LOOPS = {
    OPEN: (),
    'workload=[{kind="churn"}]': ("workload.0 (churn): pace",),
    'workload=[{kind="boot"},{kind="hot-range"}]': ("workload.0 (boot)", "workload.1 (hot-range)"),
    'workload=[{kind="boot",pace="open"},{kind="balloon",pace="open"}]': (),
    'workload=[{kind="trace",log=["td-boot-iso.log"]}]': (),
    'workload=[{kind="trace",log=["td-boot-iso.log","td-boot-bare.log"]}]': ("workload.0 (trace)",),
    'workload=[{kind="trace",log=["td-boot-bare.log"],pace="rate"}]': (),
    'workload=[{kind="trace",log=["td-boot-iso.log"],pace="back-to-back"}]': ("workload.0",),
}


@pytest.mark.parametrize("load", LOOPS)
def test_who_waits_for_answers_is_said(load):
    found = tuple(closed_loops(simulate.prepare(decode(load)).plan))
    assert len(found) == len(LOOPS[load])
    assert all(text.startswith(start) for text, start in zip(found, LOOPS[load], strict=True))
