"""The controller of a fleet and the agents of its hosts: who is asked, who takes a VM, and what becomes of a no."""

import pytest

from actors import messages as m
from actors.address import (
    AGENT,
    ALLOCATOR,
    CONTROLLER,
    LOAD,
    VMM,
    host_address,
    host_of,
    vm_address,
)
from actors.contract import Reason
from actors.fleet import messages as f
from actors.fleet.controller import POLICIES, Controller
from actors.fleet.host_agent import HostAgent
from actors.fleet.messages import No
from actors.fleet.observations import BootChanged, PlaceFreed, RequestMoved, Stage
from tests.helpers import COST, TIMER, Recorder
from tests.negative.fleet_cases import ARRIVING
from tests.runs import simulated
from workloads.loads.arrived import ArrivedLoad
from workloads.loads.tenant import Seat

FIRST, SECOND = vm_address(1, 0), vm_address(1, 1)
HOST = host_address(1)


class Coming:
    """Nobody comes of his own; a lifetime is the arrival's number."""

    def __init__(self, again=0, waits=()):
        self.again, self.waits = again, waits

    def wait(self, number):
        return self.waits[number] if number < len(self.waits) else None

    def lifetime(self, number):
        return number


def controller(*free, policy="first-fit", room=9, coming=None, until=1000):
    hosts = len(free)
    return Controller(coming or Coming(), policy, until, room, list(free), [0] * hosts, [0] * hosts)


def told(actor, *messages, now=10):
    """(host asked, arrival) of each question; facts are in the context."""
    context = Recorder()
    context.now = now
    for message in messages:
        actor.receive(message, context)
    asked = [s for s in context.take() if isinstance(s.message, f.Place)]
    assert all(s.target == host_address(host_of(s.target)) | AGENT for s in asked)
    assert all(s.delay == COST for s in asked)
    return [(host_of(s.target), s.message.arrival) for s in asked], context


def stages(context):
    return [(fact.arrival, fact.stage.name) for fact in context.of(RequestMoved)]


def no(host, arrival, reason=No.BOOTS, free=3):
    return f.Placed(arrival, host_address(host), 0, reason, free)


def yes(host, arrival, free=3):
    return f.Placed(arrival, host_address(host), vm_address(host, 0), No.NONE, free)


@pytest.mark.parametrize(
    ("policy", "hosts"),
    [("first-fit", [0, 1, 1, 1]), ("least-loaded", [1, 1, 2, 0]), ("spread", [0, 1, 2, 1])],
)
def test_a_policy_prefers(policy, hosts):
    actor = controller(1, 3, 2, policy=policy)
    asked, _ = told(actor, *[f.Arrive()] * 4)
    assert [host for host, _ in asked] == hosts


def test_every_policy_is_tried():
    assert set(POLICIES) == {"first-fit", "least-loaded", "spread"}


def test_no_more_is_asked_of_a_host_than_it_has_said_it_has():
    actor = controller(1, 1)
    asked, context = told(actor, *[f.Arrive()] * 3)
    assert asked == [(0, 0), (1, 1)] and actor.queue == [2]
    assert stages(context)[-1] == (2, "QUEUED")


def test_after_a_no_another_host_is_asked_and_the_first_one_once_something_has_happened_there():
    actor = controller(3, 3)
    told(actor, f.Arrive())
    asked, context = told(actor, no(0, 0), now=30)
    assert asked == [(1, 0)] and stages(context) == [(0, "REFUSED"), (0, "ASKED")]
    assert told(actor, f.Arrive())[0] == [(1, 1)]
    assert told(actor, no(1, 0))[0] == [] and actor.queue == [0]
    assert told(actor, f.HostNews(7, host_address(0), False, 3))[0] == [(0, 0)]


def test_what_waits_goes_in_the_order_in_which_it_came():
    actor = controller(2)
    told(actor, *[f.Arrive()] * 4)
    assert told(actor, no(0, 1), no(0, 0))[0] == [] and actor.queue == [0, 1, 2, 3]
    news = f.HostNews(7, host_address(0), True, 5)
    assert told(actor, news, news)[0] == [(0, 0), (0, 1)]


def test_a_yes_is_told_with_how_long_it_took():
    actor = controller(3)
    told(actor, f.Arrive())
    _, context = told(actor, yes(0, 0, free=2), now=40)
    assert context.facts == [RequestMoved(0, Stage.PLACED, vm_address(0, 0), 30)]
    assert (actor.free, actor.asked, actor.came) == ([2], [0], {})


@pytest.mark.parametrize(("room", "last"), [(0, "TURNED_AWAY"), (1, "QUEUED")])
def test_so_many_may_wait(room, last):
    actor = controller(0, room=room)
    _, context = told(actor, f.Arrive())
    assert stages(context) == [(0, "CAME"), (0, last)]
    assert len(actor.queue) == len(actor.came) == room


def test_at_the_end_nobody_comes_and_nobody_is_placed():
    actor = controller(0)
    told(actor, f.Arrive())
    news = f.HostNews(7, host_address(0), True, 5)
    assert told(actor, f.Arrive(), news, now=1000)[0] == [] and actor.queue == [0]


def test_who_comes_of_his_own_sets_the_timer_for_the_next():
    actor = controller(9, coming=Coming(waits=(5, 7)))
    context = Recorder()
    for message in (f.Arrive(), f.Arrive(following=True), f.Arrive(following=True)):
        actor.receive(message, context)
    timers = [(s.delay, s.message) for s in context.take() if s.target == TIMER]
    assert timers == []  # numbers 2 and 3 do not come of their own
    actor = controller(9, coming=Coming(waits=(5, 0, 7)))
    actor.receive(f.Arrive(following=True), context)
    actor.receive(f.Arrive(following=True), context)
    timers = [(s.delay, s.message) for s in context.take() if s.target == TIMER]
    assert timers == [(1, f.Arrive(following=True)), (7, f.Arrive(following=True))]


@pytest.mark.parametrize("again", [0, 50])
def test_of_a_closed_population_another_one_comes_for_whoever_is_gone(again):
    actor = controller(0, coming=Coming(again))
    context = Recorder()
    actor.receive(f.HostNews(3, HOST - HOST, True, 1), context)
    actor.receive(f.HostNews(4, HOST - HOST, False, 1), context)
    assert [(s.delay, s.message) for s in context.take()] == [(50, f.Arrive())] * bool(again)


# --- a host's agent ------------------------------------------------------------------------------


def agent(boots=1, successors=None):
    free = [(int(FIRST), 0), (int(SECOND), 0)]
    return HostAgent(HOST, host_address(0) | CONTROLLER, boots, free, successors or {})


def heard(actor, message):
    context = Recorder()
    actor.receive(message, context)
    return {sent.target: sent.message for sent in context.take()}, context.facts


def test_a_vm_is_taken_and_all_are_told():
    actor = agent()
    sent, facts = heard(actor, f.Place(5, 99))
    assert sent == {
        FIRST | LOAD: f.Lease(99),
        HOST | ALLOCATOR: f.AdmitVm(FIRST, 0),
        CONTROLLER: f.Placed(5, HOST, FIRST, No.NONE, 1),
    }
    assert facts == [BootChanged(FIRST, 5, True)]


def test_no_more_boot_at_once_than_may():
    actor = agent()
    heard(actor, f.Place(5, 99))
    assert heard(actor, f.Place(6, 99)) == ({CONTROLLER: f.Placed(6, HOST, 0, No.BOOTS, 1)}, [])
    sent, facts = heard(actor, f.BootOver(FIRST))
    assert sent == {CONTROLLER: f.HostNews(5, HOST, False, 1)}
    assert facts == [BootChanged(FIRST, 5, False)]
    assert heard(actor, f.Place(6, 99))[0][CONTROLLER].vm == SECOND


def test_a_host_without_a_free_place_takes_nobody():
    actor = agent(boots=9)
    for arrival in (5, 6):
        heard(actor, f.Place(arrival, 99))
    assert heard(actor, f.Place(7, 99))[0] == {CONTROLLER: f.Placed(7, HOST, 0, No.FULL, 0)}


def test_a_place_is_taken_again_by_the_vm_that_comes_after():
    later = int(vm_address(1, 2))
    actor = agent(9, {int(FIRST): later})
    heard(actor, f.Place(5, 99))
    heard(actor, f.BootOver(FIRST))
    sent, _ = heard(actor, m.Reclaim(FIRST))
    assert sent == {CONTROLLER: f.HostNews(5, HOST, True, 2)}
    heard(actor, f.Place(6, 99))
    assert heard(actor, f.Place(7, 99))[0][HOST | ALLOCATOR] == f.AdmitVm(later, FIRST)


def test_a_vm_that_dies_while_it_boots_boots_no_more_and_is_told_of_once():
    actor = agent()
    heard(actor, f.Place(5, 99))
    sent, facts = heard(actor, m.Reclaim(FIRST))
    assert sent == {CONTROLLER: f.HostNews(5, HOST, True, 1)}  # nobody comes after it
    assert facts == [BootChanged(FIRST, 5, False), PlaceFreed(FIRST)]
    assert heard(actor, f.BootOver(FIRST)) == ({}, [])


# --- the load of a VM that arrives ---------------------------------------------------------------


class Still:
    """A program of one lane without a job."""

    lanes, sides = 1, 0
    timed = one_sequence = boots = False

    def job(self, lane, step):
        return None


def load(**state):
    found = ArrivedLoad(FIRST, Still(), 0, 1000, 0, [0], pages=1024, vcpus=2)
    for name, value in {"seat": Seat.EMPTY, **state}.items():
        setattr(found, name, value)
    return found


def test_a_boot_accepts_all_memory_takes_its_time_and_then_the_program_begins():
    actor, context = load(), Recorder(costs={"boot_fixed": 500})
    actor.receive(f.Lease(300), context)
    actor.receive(m.Admit((), 0), context)
    parts = context.messages()
    assert [(part.start, part.end) for part in parts] == [(0, 512), (512, 1024)]
    for part in parts:
        actor.receive(m.TaskDone(part.task, Reason.NONE), context)
    (timer,) = context.take()
    assert (timer.target, timer.delay, timer.message) == (TIMER, 500, f.BootOver(FIRST))
    actor.receive(f.BootOver(FIRST), context)
    assert [s.message for s in context.take()] == [f.BootOver(FIRST), m.Tick(0), f.Depart()]


def test_the_agent_learns_of_a_boot_that_fails():
    actor, context = load(), Recorder()
    actor.receive(m.Admit((), 0), context)
    first, second = context.messages()
    actor.receive(m.TaskDone(first.task, Reason.DEAD), context)
    actor.receive(m.TaskDone(second.task, Reason.DEAD), context)
    assert [(s.target, s.message) for s in context.take()] == [(HOST | AGENT, f.BootOver(FIRST))]


def test_a_vm_exits_once_its_time_is_over_and_nothing_is_under_way():
    actor, context = load(seat=Seat.TAKEN, tasks={7: 0}), Recorder()
    actor.receive(f.Depart(), context)
    assert context.take() == []
    actor.receive(m.TaskDone(7, Reason.NONE), context)
    assert context.messages() == [m.Tick(0), m.Exit()]
    actor.receive(m.Tick(0), context)
    assert context.messages() == []


def test_a_lane_that_pauses_keeps_nobody_from_departing():
    actor, context = load(seat=Seat.TAKEN), Recorder()
    actor.receive(f.Depart(), context)
    assert [(s.target, s.message) for s in context.take()] == [(FIRST | VMM, m.Exit())]


@pytest.mark.parametrize(("lifetime", "departs"), [(999, True), (1000, False)])
def test_at_the_end_of_the_run_nobody_departs(lifetime, departs):
    actor, context = load(lifetime=lifetime, seat=Seat.BOOTING), Recorder()
    actor.receive(f.BootOver(FIRST), context)
    assert (f.Depart() in context.messages()) == departs


def test_every_vm_is_gone_that_has_left():
    outcome = simulated(*ARRIVING, "vm.memory=8MiB", "fleet.hosts=2", "fleet.generations=16")
    counters = {tuple(row[:-1]): row[-1] for row in outcome.watched[0]["meter"]["counters"]}
    left = counters["vm_requests", "left"]
    living = counters["vm_requests", "placed"] - left
    held = outcome.census["private_bytes"] + outcome.census["shared_bytes"]
    assert left > 3 and held == living * (8 << 20) and outcome.census["leaked_bytes"] == 0
