"""VMs that move: what controller, agents and loads make of each other's words, late ones too."""

import pytest

from actors import messages as m
from actors.address import AGENT, ALLOCATOR, CONTROLLER, GUEST, LOAD, VMM, host_address, vm_address
from actors.contract import Fault, Reason, Share
from actors.fleet import messages as f
from actors.fleet import move_messages as v
from actors.fleet.messages import No
from actors.fleet.move_messages import Image, Phase, Timer
from actors.fleet.move_observations import HostEmptied, MoveChanged, MoveSettled, VcpusStopped
from actors.fleet.moving_agent import Leaving, MovingAgent
from actors.fleet.moving_controller import Moving, MovingController
from tests.actors.test_controller import Coming
from tests.helpers import COST, LINK, TIMER, Recorder, Sent
from workloads.loads.load import Job
from workloads.loads.moving import BATCH, MovingLoad
from workloads.loads.tenant import Seat

HERE, THERE = host_address(1), host_address(2)
VM, NEXT, ELSEWHERE = vm_address(1, 0), vm_address(1, 2), vm_address(2, 0)
IMAGE = Image(7, VM, ELSEWHERE, VM, 5, 90, 1, (3, 4), 6, ((0, 512), (600, 700)), ((512, 600),))
NETWORK = COST


def agent(**state):
    return MovingAgent(HERE, CONTROLLER, 2, [(NEXT, VM)], {VM: NEXT}, patience=50, **state)


def source(**state):
    return agent(living={VM: 7}, leaving={VM: Leaving(7, ELSEWHERE, 1, **state)})


def told(actor, *messages, now=10, **context):
    """What it sent, with the context."""
    found = Recorder(**context)
    found.now = now
    for message in messages:
        actor.receive(message, found)
    return found.take(), found


def phases(sent):
    return [s.message.phase for s in sent if isinstance(s.message, v.MoveNews)]


def to(sent, target):
    return [s.message for s in sent if s.target == target]


# --- the target's agent --------------------------------------------------------------------------


def test_a_target_takes_a_place_and_frames_for_a_vm_that_is_not_to_boot():
    actor, ask = agent(), v.Receive(7, ELSEWHERE, 1)
    sent, _ = told(actor, ask)
    assert sent == [
        Sent(NEXT | LOAD, ask, LINK),
        Sent(HERE | ALLOCATOR, f.AdmitVm(NEXT, VM), LINK),
        Sent(CONTROLLER, f.Placed(7, HERE, NEXT, No.NONE, 0), NETWORK),
    ]
    assert actor.coming == {NEXT: (7, ELSEWHERE)} and not actor.booting


def test_a_target_without_a_place_says_no():
    actor = agent()
    actor.free = []
    sent, _ = told(actor, v.Receive(7, ELSEWHERE, 1))
    assert to(sent, CONTROLLER) == [f.Placed(7, HERE, 0, No.FULL, 0)]


def test_a_target_without_memory_says_no_and_keeps_its_place():
    actor = agent()
    fault = {"move.refused": Fault(Reason.NO_MEMORY, 0)}
    sent, context = told(actor, v.Receive(7, ELSEWHERE, 1), choices=fault)
    assert [s.message for s in sent] == [f.Placed(7, HERE, 0, No.MEMORY, 1)]
    again = told(actor, v.Receive(7, ELSEWHERE, 2), choices=fault)[1]
    assert context.asked != again.asked  # another move is another opportunity


def test_a_vm_that_runs_at_the_target_lives_there():
    actor = agent(coming={VM: (7, ELSEWHERE)})
    sent, context = told(actor, v.Imported(VM, True))
    assert to(sent, THERE | AGENT) == [v.Discard(ELSEWHERE, True)] and phases(sent) == [Phase.RUNS]
    assert actor.living == {VM: 7} and context.facts == [MoveSettled(VM, True)]


def test_a_vm_that_cannot_be_imported_goes_on_at_its_source():
    actor = agent(coming={VM: (7, ELSEWHERE)})
    sent, _ = told(actor, v.Imported(VM, False))
    assert to(sent, THERE | AGENT) == [v.GoOn(ELSEWHERE)] and phases(sent) == [Phase.GAVE_UP]
    assert to(sent, VM | LOAD) == [v.Discard(VM, False)]
    sent, _ = told(actor, m.Reclaim(VM))
    assert [s.message for s in sent] == [f.HostNews(-1, HERE, False, 2)]


def test_who_dies_of_the_import_is_given_up_once():
    actor = agent(coming={VM: (7, ELSEWHERE)})
    sent, _ = told(actor, m.Reclaim(VM), v.Imported(VM, False), v.Discard(VM, False))
    assert phases(sent) == [Phase.GAVE_UP] and len(to(sent, THERE | AGENT)) == 1


def test_what_comes_for_nobody_is_ignored():
    assert told(agent(), v.Carried(Image(7, ELSEWHERE, VM, 1, 1, 1, 1, (), 0)))[0] == []


# --- the source's agent --------------------------------------------------------------------------


def test_a_vm_that_is_gone_does_not_move():
    sent, _ = told(agent(), v.MoveOut(7, VM, ELSEWHERE))
    assert to(sent, THERE | AGENT) == [v.Discard(ELSEWHERE, False)] and phases(sent) == [Phase.GONE]


def test_a_source_sends_all_that_has_contents():
    actor = source()
    sent, context = told(actor, v.Carried(IMAGE), costs={"transfer_page": 700, "network": 9})
    assert to(sent, THERE | AGENT) == [v.Carried(IMAGE)] and sent[-1].delay == 709
    assert context.cancelled == [1] and phases(sent) == [Phase.QUIET] and IMAGE.pages == 700
    assert actor.leaving[VM].sent


def test_what_was_called_off_is_not_sent():
    actor = source()
    sent, _ = told(actor, v.CallOff(VM, Phase.NOT_QUIET))
    assert to(sent, VM | LOAD) == [v.GoOn(VM)] and phases(sent) == [Phase.NOT_QUIET]
    assert to(sent, THERE | AGENT) == [v.Discard(ELSEWHERE, False)]
    assert told(actor, v.Carried(IMAGE))[0] == [] and actor.living == {VM: 7}


def test_memory_that_cannot_be_read_does_not_move():
    image = Image(7, VM, ELSEWHERE, VM, 5, 90, 1, (), 0, whole=False)
    sent, _ = told(source(), v.Carried(image))
    assert phases(sent) == [Phase.UNMOVABLE] and to(sent, VM | LOAD) == [v.GoOn(VM)]


def test_a_transfer_fails_when_its_block_is_due():
    actor = source()
    fault = {"move.transfer": Fault(Reason.TIMEOUT, 0)}
    sent, _ = told(actor, v.Carried(IMAGE), choices=fault, costs={"transfer_page": 700})
    assert [s for s in sent if s.target == TIMER] == [Sent(TIMER, v.CallOff(VM, Phase.BROKEN), 350)]
    assert not actor.leaving[VM].sent and to(sent, THERE | AGENT) == []


def test_the_target_says_that_it_runs_there():
    actor = source(sent=True)
    sent, context = told(actor, v.Discard(VM, True))
    assert to(sent, VM | LOAD) == [v.Discard(VM, True)] and phases(sent) == [Phase.RELEASED]
    assert context.facts == [MoveSettled(VM, False)] and actor.living == {}
    sent, _ = told(actor, m.Reclaim(VM))
    assert [s.message for s in sent] == [f.HostNews(-1, HERE, False, 2)]


def test_who_dies_before_he_was_sent_is_gone():
    sent, context = told(source(), m.Reclaim(VM))
    assert phases(sent) == [Phase.GONE] and context.cancelled == [1]
    assert to(sent, THERE | AGENT) == [v.Discard(ELSEWHERE, False)]
    assert to(sent, CONTROLLER)[-1] == f.HostNews(7, HERE, True, 2)


@pytest.mark.parametrize(
    ("word", "phase", "left"),
    [(v.Discard(VM, True), Phase.RELEASED, []), (v.GoOn(VM), Phase.DIED, [True])],
)
def test_who_dies_after_he_was_sent_is_what_the_target_says(word, phase, left):
    actor = source(sent=True)
    sent, _ = told(actor, m.Reclaim(VM))
    assert [s.message for s in sent] == [f.HostNews(-1, HERE, False, 2)]
    sent, _ = told(actor, word)
    assert phases(sent) == [phase] and to(sent, VM | LOAD) == []
    assert [s.message.left for s in sent if isinstance(s.message, f.HostNews)] == left
    assert actor.leaving == {}


# --- the controller ------------------------------------------------------------------------------


class Drawn:
    """One more after each, and always the last of those that may."""

    def wait(self, number):
        return 5

    def pick(self, number, of):
        return of - 1


def controller(*free, homes=(), until=1000, **state):
    homes = dict(enumerate(homes))
    hosts = len(free)
    found = MovingController(
        Coming(), "first-fit", until, 9, list(free), [0] * hosts, [0] * hosts, **state
    )
    found.moves, found.homes, found.booted = Drawn(), homes, list(homes)
    found.away, found.pause = 40, 30
    return found


def asked(sent):
    return [(s.target, s.message.arrival) for s in sent if isinstance(s.message, v.Receive)]


def test_somebody_moves_to_the_host_that_the_policy_prefers():
    actor = controller(0, 3, 3, homes=(vm_address(0, 0), vm_address(1, 0)))
    sent, _ = told(actor, v.MoveTime(Timer.MOVE))
    assert asked(sent) == [(THERE | AGENT, 1)]  # host 0 is full, and 1 is where it is
    assert [s for s in sent if s.target == TIMER] == [Sent(TIMER, v.MoveTime(Timer.MOVE), 5)]
    assert actor.asked == [0, 0, 1]


def test_a_host_has_part_in_one_move_at_a_time():
    actor = controller(3, 3, homes=(vm_address(0, 0), vm_address(1, 0), vm_address(0, 1)))
    assert asked(told(actor, v.MoveTime(Timer.MOVE))[0]) == [(host_address(1) | AGENT, 2)]
    assert asked(told(actor, v.MoveTime(Timer.MOVE))[0]) == []


def test_nor_is_it_the_target_of_two():
    actor = controller(0, 0, 3, homes=(vm_address(0, 0), vm_address(1, 0)))
    assert asked(told(actor, v.MoveTime(Timer.MOVE))[0]) == [(THERE | AGENT, 1)]
    sent, context = told(actor, v.MoveTime(Timer.MOVE))
    assert asked(sent) == [] and context.facts == []  # it has places, and no link


def test_nobody_moves_at_the_end_or_where_nobody_is():
    assert told(controller(3, 3, homes=(VM,)), v.MoveTime(Timer.MOVE), now=1000)[0] == []
    assert asked(told(controller(3, 3), v.MoveTime(Timer.MOVE))[0]) == []


def test_a_vm_that_no_host_can_take_is_refused_at_once():
    _, context = told(controller(0, 3, homes=(VM,)), v.MoveTime(Timer.MOVE))
    assert [fact.phase for fact in context.of(MoveChanged)] == [Phase.BEGUN, Phase.REFUSED]


def test_a_host_that_is_evacuated_takes_nobody_until_it_is_back():
    actor = controller(3, 3, evacuate=[0])
    sent, context = told(actor, v.MoveTime(Timer.EVACUATE), f.Arrive())
    assert [s.target for s in sent if isinstance(s.message, f.Place)] == [HERE | AGENT]
    assert context.of(HostEmptied) == [HostEmptied(host_address(0), 0)]
    assert [s for s in sent if s.target == TIMER] == [Sent(TIMER, v.MoveTime(Timer.BACK), 40)]
    sent, _ = told(actor, v.MoveTime(Timer.BACK), f.Arrive())
    assert [s.target for s in sent if isinstance(s.message, f.Place)] == [host_address(0) | AGENT]


def test_a_host_is_empty_when_nobody_is_there_nor_on_the_way():
    actor = controller(3, 3, homes=(vm_address(0, 0),), evacuate=[0])
    actor.booted = []  # it moves once it has booted
    sent, context = told(actor, v.MoveTime(Timer.EVACUATE))
    assert asked(sent) == [] and context.of(HostEmptied) == []
    sent, _ = told(actor, f.HostNews(0, host_address(0), False, 2))
    assert asked(sent) == [(HERE | AGENT, 0)]
    sent, context = told(actor, f.Placed(0, HERE, VM, No.NONE, 2))
    assert to(sent, host_address(0) | AGENT) == [v.MoveOut(0, vm_address(0, 0), VM)]
    news = [v.MoveNews(0, VM, Phase.RUNS), v.MoveNews(0, vm_address(0, 0), Phase.RELEASED)]
    _, context = told(actor, *news, now=70)
    assert actor.homes == {0: VM} and context.of(HostEmptied) == [HostEmptied(host_address(0), 60)]


def test_a_move_that_failed_is_tried_again_after_a_pause():
    actor = controller(3, 3, homes=(vm_address(0, 0),), evacuate=[0])
    told(actor, v.MoveTime(Timer.EVACUATE))
    sent, _ = told(actor, f.Placed(0, HERE, 0, No.MEMORY, 3))
    assert sent == [Sent(TIMER, v.MoveTime(Timer.AGAIN), 30)]
    assert asked(told(actor, v.MoveTime(Timer.AGAIN))[0]) == [(HERE | AGENT, 0)]


def test_hosts_are_evacuated_one_after_the_other():
    actor = controller(3, 3, evacuate=[1, 0])
    told(actor, v.MoveTime(Timer.EVACUATE))
    assert actor.out == 1
    _, context = told(actor, v.MoveTime(Timer.BACK))
    assert actor.out == 0 and context.of(HostEmptied) == [HostEmptied(host_address(0), 0)]


def test_who_leaves_while_he_moves_is_gone():
    actor = controller(3, 3, homes=(VM,), moving={0: Moving(VM, 0, 3)})
    _, context = told(actor, f.HostNews(0, HERE, True, 3), v.MoveNews(0, VM, Phase.GONE))
    assert (actor.homes, actor.booted, actor.moving) == ({}, [], {})
    assert context.of(MoveChanged) == [MoveChanged(0, VM, Phase.GONE, 7)]


# --- the load ------------------------------------------------------------------------------------


class Nothing:
    lanes, sides, timed, boots, one_sequence = 2, 0, False, False, False

    def job(self, lane, step):
        return Job(4, 0, 1, Share.SHARED)


def load(seat=Seat.TAKEN, vm=VM, **state):
    found = MovingLoad(vm, Nothing(), 0, 1000, 1, [3, 4], requests=6, **state)
    found.seat, found.pages, found.vcpus = seat, 2048, 2
    return found


def test_a_load_goes_off_once_nothing_is_under_way():
    actor = load(tasks={9: 1}, leaves=95, timer=4)
    sent, context = told(actor, v.Pause(7, ELSEWHERE), m.Tick(0), now=5)
    assert sent == [] and context.cancelled == [4] and context.facts == []
    sent, context = told(actor, m.TaskDone(9, Reason.NONE), now=8)
    image = Image(7, VM, ELSEWHERE, VM, 5, 90, 1, (3, 4), 6)
    assert to(sent, VM | GUEST) == [v.Carried(image)]
    assert context.facts == [VcpusStopped(VM, True)]


def test_who_has_moved_before_goes_on_with_the_program_that_he_began_with():
    actor = load(origin=vm_address(3, 0))
    sent, _ = told(actor, v.Pause(7, ELSEWHERE))
    assert to(sent, VM | GUEST)[0].image.origin == vm_address(3, 0)


def test_a_load_that_stays_goes_on_with_what_was_due_and_leaves_when_it_would_have():
    actor = load(leaves=95)
    told(actor, v.Pause(7, ELSEWHERE), m.Tick(1), now=5)
    sent, context = told(actor, v.GoOn(VM), now=30)
    assert sent == [Sent(TIMER, f.Depart(), 65), Sent(TIMER, m.Tick(1), 1)]
    assert context.facts == [VcpusStopped(VM, False, 25)]
    assert told(actor, v.GoOn(VM))[0] == []


@pytest.mark.parametrize("state", [{"seat": Seat.LEFT}, {"dead": True}])
def test_who_leaves_or_is_dead_does_not_stop(state):
    assert told(load(**state), v.Pause(7, ELSEWHERE))[0] == []


def test_who_dies_while_he_comes_to_rest_is_not_sent():
    actor = load(tasks={9: 1})
    sent, _ = told(actor, v.Pause(7, ELSEWHERE), m.TaskDone(9, Reason.DEAD))
    assert to(sent, VM | GUEST) == []


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_vm_is_imported_when_it_and_its_frames_are_here(order):
    actor = load(Seat.EMPTY, ELSEWHERE)
    told(actor, v.Receive(7, VM, 1))
    both = m.Admit((), 0), v.Carried(IMAGE)
    assert told(actor, both[order[0]])[0] == []
    sent, _ = told(actor, both[order[1]])
    (ask,) = to(sent, ELSEWHERE | VMM)
    assert (ask.start, ask.end, ask.to, ask.reply_to) == (512, 600, Share.SHARED, ELSEWHERE | LOAD)
    sent, _ = told(actor, m.ConvertAnswer(ask.request, Reason.NONE, -1))
    touched = to(sent, ELSEWHERE | GUEST)
    assert [(t.start, t.end) for t in touched] == [(0, 512), (600, 700)]
    tasks = [m.TaskDone(t.task, Reason.NONE) for t in touched]
    sent, context = told(actor, *tasks, now=40)
    assert to(sent, THERE | AGENT) == [v.Imported(ELSEWHERE, True)]
    assert context.of(VcpusStopped) == [VcpusStopped(ELSEWHERE, False, 35)]
    assert (actor.steps, actor.requests, actor.origin, actor.leaves) == ([3, 4], 7, VM, 130)
    assert [s.message for s in sent if s.target == TIMER] == [m.Tick(0), m.Tick(1), f.Depart()]


def test_an_import_that_fails_is_told_of_when_nothing_of_it_is_under_way():
    actor = load(Seat.EMPTY, ELSEWHERE)
    image = Image(7, VM, ELSEWHERE, VM, 5, 90, 1, (), 0, (), ((0, 1), (2, 3)))
    sent, _ = told(actor, v.Receive(7, VM, 1), m.Admit((), 0), v.Carried(image))
    first, second = [ask.request for ask in to(sent, ELSEWHERE | VMM)]
    assert told(actor, m.ConvertAnswer(first, Reason.NO_MEMORY, 0))[0] == []
    sent, _ = told(actor, m.ConvertAnswer(second, Reason.NONE, -1))
    assert [s.message for s in sent] == [v.Imported(ELSEWHERE, False)]


def test_many_ranges_are_accepted_in_batches():
    ranges = tuple((2 * n, 2 * n + 1) for n in range(BATCH + 1))
    image = Image(7, VM, ELSEWHERE, VM, 5, 90, 1, (0, 0), 0, ranges)
    actor = load(Seat.EMPTY, ELSEWHERE)
    sent, _ = told(actor, v.Receive(7, VM, 1), m.Admit((), 0), v.Carried(image))
    assert len(to(sent, ELSEWHERE | GUEST)) == BATCH
    done = [m.TaskDone(touch.task, Reason.NONE) for touch in to(sent, ELSEWHERE | GUEST)]
    sent, _ = told(actor, *done)
    assert [touch.start for touch in to(sent, ELSEWHERE | GUEST)] == [2 * BATCH]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_who_is_not_wanted_any_more_exits_once_it_has_its_frames(order):
    actor = load(Seat.EMPTY, ELSEWHERE)
    told(actor, v.Receive(7, VM, 1))
    both = m.Admit((), 0), v.Discard(ELSEWHERE, False)
    assert told(actor, both[order[0]])[0] == []
    assert told(actor, both[order[1]])[0] == [Sent(ELSEWHERE | VMM, m.Exit(), LINK)]


def test_what_a_vm_has_asked_for_is_counted_where_it_is():
    actor = load()
    actor.admitted = True
    told(actor, v.Discard(VM, True))
    assert actor.requests == 0 and actor.seat is Seat.LEFT
