"""TD guest: pieces of 2 MiB, RETRY, three tries, and five ways to take a failure."""

import pytest

from actors import messages as m
from actors.address import GUEST, HOST_MAP, KVM, LOAD, TDX, VMM, vm_address
from actors.contract import Reason
from actors.guest.outcome import Outcome
from actors.guest.td import REACTIONS, Guest
from actors.observations import NO_LATENCY, Answered, Failed, MapGpaFailed, Requested
from actors.tdx.states import LEVEL_2M, LEVEL_4K
from tests.helpers import COST, LINK, PRIVATE, SHARED, Recorder, Sent, World, runs, table

VM = vm_address(0, 0)
TRIES = 3


def guest(reaction="leak", accepted=((0, 0x800),), vcpus=4, busy=2, **fields):
    accept = table(*((start, end, 1) for start, end in accepted))
    return Guest(VM, vcpus, busy, 0, TRIES, reaction, accept, **fields)


def ask(actor, task=5, start=0x10, end=0x20, to=SHARED, use=False, whole=False, context=None):
    context = context or Recorder()
    actor.on_ask(m.Ask(task, start, end, to, 0, whole, use), context)
    return context


def told(actor, context, reason=Reason.NONE, resume=0x20):
    """What the guest does once MapGPA is back."""
    context.take()
    actor.on_map_gpa_done(m.MapGpaDone(5, reason, resume), context)
    return context.messages()


def done(reason=Reason.NONE, task=5):
    return m.TaskDone(task, reason)


# --- converting ----------------------------------------------------------------------------------


def test_a_conversion_is_one_map_gpa():
    context = ask(guest())
    assert context.take() == [Sent(VM | KVM, m.MapGpa(5, 0x10, 0x20, SHARED, 0), LINK)]


def test_a_traced_conversion_is_one_request_at_the_vmm():
    context = ask(guest(), whole=True)
    request = m.ConvertRequest(5 << 2, 0x10, 0x20, SHARED, 0, VM | GUEST)
    assert context.take() == [Sent(VM | VMM, request, COST)]


@pytest.mark.parametrize("reason", [Reason.NONE, Reason.BUSY])
def test_the_vmms_answer_to_a_traced_conversion_is_final(reason):
    actor = guest()
    context = ask(actor, whole=True)
    context.take()
    actor.on_convert_answer(m.ConvertAnswer(5 << 2, reason, -1), context)
    assert context.messages() == [done(reason)]


def test_retry_resumes_where_the_host_stopped():
    actor = guest()
    context = ask(actor, end=0x410)
    resumed = m.MapGpa(5, 0x210, 0x410, SHARED, 0, piece=1)
    context.take()
    early = m.MapGpaDone(5, Reason.INTERRUPTED, 0x210, fresh=True)
    actor.on_map_gpa_done(early, context)
    assert context.messages() == [resumed]


def test_three_more_tries_without_progress_and_no_fourth():
    actor = guest()
    context = ask(actor)
    again = [[m.MapGpa(5, 0x10, 0x20, SHARED, 0, again=tries + 1)] for tries in range(TRIES)]
    found = [told(actor, context, Reason.REFERENCES, 0x10) for _ in range(TRIES + 1)]
    assert found == [*again, [done(Reason.REFERENCES)]]


def test_progress_makes_the_tries_new():
    actor = guest()
    context = ask(actor, end=0x410)
    for resume in (0x10, 0x10, 0x10, 0x210, 0x210, 0x210, 0x210):
        assert isinstance(told(actor, context, Reason.BUSY, resume)[0], m.MapGpa)
    assert told(actor, context, Reason.BUSY, 0x210) == [done(Reason.BUSY)]
    assert context.of(MapGpaFailed) == [MapGpaFailed(VM, 0x10, 0x410, 0x200)]


def test_poison_is_not_tried_again():
    actor = guest()
    assert told(actor, ask(actor), Reason.POISONED, 0x10) == [done(Reason.POISONED)]


def test_what_became_shared_is_accepted_no_more():
    actor = guest()
    assert told(actor, ask(actor)) == [done()]
    assert runs(actor.accepted) == [(0, 1), (0x10, 0), (0x20, 1), (0x800, 0)]


def test_of_a_partial_conversion_only_the_prefix_is_accepted_no_more():
    actor = guest()
    context = ask(actor, end=0x410)
    for _ in range(TRIES + 2):
        told(actor, context, Reason.BUSY, 0x210)
    assert runs(actor.accepted) == [(0, 1), (0x10, 0), (0x210, 1), (0x800, 0)]


# --- using memory --------------------------------------------------------------------------------


def accesses(actor, start, end, share, outcome=Outcome.DONE):
    """Every access of a touch, each answered like this."""
    context, found = Recorder(), []
    actor.on_touch(m.Touch(5, start, end, share), context)
    while isinstance(context.sent[-1].message, m.Access):
        found.append(context.sent[-1])
        actor.on_accessed(m.Accessed(found[-1].message.access, outcome), context)
    return found, context


def test_memory_is_used_in_pieces_that_end_at_two_mib():
    found, context = accesses(guest(accepted=()), 0x1F0, 0x610, PRIVATE)
    pieces = [(sent.message.start, sent.message.end, sent.message.level) for sent in found]
    assert pieces == [
        (0x1F0, 0x200, LEVEL_4K),
        (0x200, 0x400, LEVEL_2M),
        (0x400, 0x600, LEVEL_2M),
        (0x600, 0x610, LEVEL_4K),
    ]
    assert context.sent[-1].message == done()


@pytest.mark.parametrize(
    ("share", "accepted", "target", "accept"),
    [
        (PRIVATE, (), TDX, True),
        (PRIVATE, ((0, 0x800),), TDX, False),
        (SHARED, (), VM | KVM, False),
    ],
)
def test_private_memory_is_accepted_once_and_shared_memory_never(share, accepted, target, accept):
    found, _ = accesses(guest(accepted=accepted), 0x10, 0x20, share)
    assert [(sent.target, sent.message.accept) for sent in found] == [(target, accept)]


def test_used_shared_memory_is_used_by_a_device_backend_too():
    _, context = accesses(guest(), 0x10, 0x20, SHARED)
    assert Sent(VM | HOST_MAP, m.HostTouch(0x10, 0x20), LINK) in context.sent


def test_a_size_mismatch_is_accepted_again_in_small_pages():
    actor, context = guest(accepted=()), Recorder()
    actor.on_touch(m.Touch(5, 0, 0x200, PRIVATE), context)
    assert context.take()[0].message.level == LEVEL_2M
    actor.on_accessed(m.Accessed(5, Outcome.SIZE_MISMATCH), context)
    assert [(a.access, a.level) for a in context.messages()] == [(5, LEVEL_4K)]


def test_a_guest_may_accept_in_small_pages_from_the_start():
    found, _ = accesses(guest(accepted=(), accept_level=LEVEL_4K), 0, 0x400, PRIVATE)
    assert [sent.message.level for sent in found] == [LEVEL_4K, LEVEL_4K]


def test_ticking_vcpus_are_told_of_while_memory_is_accepted():
    actor, context = guest(accepted=((0, 8),), busy=3), Recorder()
    told = []
    for number, (start, online) in enumerate(((16, 0), (24, 2), (32, 9), (0, 9)), start=1):
        actor.on_online(m.Online(online), context)
        actor.on_touch(m.Touch(number, start, start + 8, PRIVATE), context)
        told.append(context.sent[-1].message.ticking)
        actor.on_accessed(m.Accessed(number, Outcome.DONE), context)
    assert told == [
        0,
        2,
        3,
        0,
    ]  # never more than are in the guest; none matters to what is accepted


def test_a_fault_that_was_handled_is_executed_again():
    actor, context = guest(), Recorder()
    actor.on_touch(m.Touch(5, 0, 8, PRIVATE), context)
    first = context.take()
    actor.on_accessed(m.Accessed(5, Outcome.RETRY), context)
    assert context.take() == first


def test_a_page_that_cannot_be_had_ends_the_task():
    _, context = accesses(guest(), 0, 0x400, PRIVATE, Outcome.FAILED)
    assert context.sent[-1].message == done(Reason.POISONED)


# --- vCPUs ---------------------------------------------------------------------------------------


def test_a_vcpu_has_one_task_and_the_others_wait():
    actor, context = guest(vcpus=1), Recorder()
    ask(actor, 5, context=context)
    ask(actor, 6, 0x30, 0x40, context=context)
    assert (list(actor.active), [task.task for task in actor.queue]) == ([5], [6])
    assert [type(each) for each in told(actor, context)] == [m.TaskDone, m.MapGpa]


def test_two_tasks_on_one_page_come_one_after_the_other():
    actor, context = guest(), Recorder()
    ask(actor, 5, context=context)
    ask(actor, 6, 0x1F, 0x40, context=context)
    ask(actor, 7, 0x50, 0x60, context=context)
    assert (list(actor.active), [task.task for task in actor.queue]) == ([5], [6, 7])


@pytest.mark.parametrize(
    ("busy", "asking", "kicked"), [(2, 0, 2), (4, 0, 4), (4, 1, 3), (2, 3, 1), (0, 0, 0)]
)
def test_a_kick_counts_who_runs_in_the_guest_and_asking_vcpus_do_not(busy, asking, kicked):
    actor, context = guest(busy=busy), Recorder()
    for task in range(asking):
        ask(actor, task, task, task + 1, context=context)
    context.take()
    actor.on_kick(m.Kick(9, 5), context)
    parts = 1 + bool(kicked)  # the link, and the slope
    assert context.take() == [Sent(TDX, m.VpExits(VM, 9, kicked * 5), parts * COST)]


def test_while_vcpus_are_kept_out_they_do_nothing_and_a_kick_finds_nobody():
    actor, context = guest(busy=2), Recorder()
    ask(actor, 5, context=context)
    context.take()
    actor.on_kick(m.Kick(9, 1, stay=True), context)
    assert context.take() == [Sent(TDX, m.VpExits(VM, 9, 2), 2 * COST)]
    ask(actor, 6, 0x30, 0x40, context=context)  # a MapGPA
    actor.on_touch(m.Touch(7, 0x50, 0x60, PRIVATE), context)
    assert context.take() == []
    actor.on_kick(m.Kick(9, 1, stay=True), context)
    assert context.take() == [Sent(TDX, m.VpExits(VM, 9, 0), COST)]
    actor.on_let_in(m.LetIn(), context)
    assert [type(sent.message) for sent in context.take()] == [m.MapGpa, m.Access]
    actor.on_kick(m.Kick(9, 1), context)
    assert context.take()[0].message == m.VpExits(VM, 9, 2)


def test_a_hostile_vcpu_waits_for_no_conversion_and_none_waits_for_it():
    actor, context = guest(), Recorder()
    ask(actor, 5, context=context)
    context.take()
    actor.on_use_alias(m.UseAlias(6, 0x10, 0x11, True), context)
    actor.on_use_alias(m.UseAlias(7, 0x10, 0x11, False), context)
    accepts = [sent.message.accept for sent in context.take()]
    assert (list(actor.active), accepts) == ([5, 6, 7], [True, False])
    told(actor, context, Reason.NONE)
    ask(actor, 8, context=context)
    assert list(actor.active) == [6, 7, 8]


def test_what_a_hostile_vcpu_has_accepted_the_others_do_not_hold_for_accepted():
    actor, context = guest(), Recorder()
    actor.on_use_alias(m.UseAlias(6, 0x10, 0x11, True), context)
    actor.accepted.set(0x10, 0x11, 0)
    context.take()
    actor.on_accessed(m.Accessed(6, Outcome.DONE), context)
    assert (context.messages(), actor.accepted.get(0x10)) == ([done(task=6)], 0)


def test_a_flush_is_paid_for_each_running_vcpu():
    context = Recorder()
    guest().on_flush(m.Flush(9), context)
    assert context.take() == [Sent(VM | KVM, m.Flushed(9), 2 * COST)]


# --- reactions -----------------------------------------------------------------------------------


def failed(reaction, to=SHARED):
    actor = guest(reaction)
    context = ask(actor, to=to, use=True)
    for _ in range(TRIES):
        told(actor, context, Reason.BUSY, 0x10)
    return actor, told(actor, context, Reason.BUSY, 0x10)


def test_leak_never_uses_the_page_again():
    assert failed("leak")[1] == [done(Reason.BUSY)]


def test_revert_converts_back_and_a_revert_that_fails_is_a_leak():
    actor, sent = failed("revert")
    assert sent == [m.MapGpa(5, 0x10, 0x20, PRIVATE, 0, back=True)]
    context = Recorder()
    for _ in range(TRIES + 1):
        sent = told(actor, context, Reason.BUSY, 0x10)
    assert sent == [done(Reason.BUSY)]


def test_keep_private_goes_on_as_if_nothing_had_been_asked():
    (access,) = failed("keep-private")[1]
    assert (access.start, access.end, access.accept) == (0x10, 0x20, False)


def test_ignore_goes_on_as_if_it_had_been_granted():
    assert failed("ignore")[1] == [m.Access(VM, 5, 0x10, 0x20, LEVEL_4K, False)]


def test_panic_ends_the_vm():
    actor, sent = failed("panic")
    assert (sent, actor.dead) == ([m.VmDead(), done(Reason.DEAD)], True)


@pytest.mark.parametrize(("overrides", "tries"), [((), 3), (("vm.guest_retries=0",), 1)])
def test_a_guest_that_comes_no_further_tries_three_times_in_all(overrides, tries):
    world = World(*overrides)
    world.inject("gmem.tree")
    world.ask(0x10, 0x20, SHARED)
    world.run()
    assert len(world.of(Requested)) == tries


def test_what_came_further_begins_to_count_anew():
    world = World()
    # Twice at the first piece; then the call that has converted it meets the second one, and three more do.
    world.inject("gmem.tree", nth=(1, 2, 4, 5, 6, 7))
    task = world.ask(0, 0x400, SHARED)
    world.run()
    assert (len(world.of(Requested)), world.tasks) == (7, [(task, Reason.NO_MEMORY)])


@pytest.mark.parametrize("reaction", REACTIONS)
@pytest.mark.parametrize("to", [SHARED, PRIVATE])
def test_under_no_reaction_does_a_refusal_break_anything(reaction, to):
    world = World(f"vm.reaction={reaction}", "vm.guest_retries=0")
    if to is PRIVATE:
        world.ask(0x10, 0x20, SHARED, use=True)
        world.run()
    world.inject("alloc.pages")
    world.ask(0x10, 0x20, to, use=True)
    world.run_until(lambda: bool(world.of(Failed)))
    world.heal()
    world.run()
    assert (world.found, world.pending()) == (set(), {})


# --- the end -------------------------------------------------------------------------------------


def test_when_the_vm_dies_every_task_ends_with_eio():
    actor, context = guest(vcpus=1), Recorder()
    ask(actor, 5, context=context)
    ask(actor, 6, 0x30, 0x40, context=context)
    context.take()
    actor.on_vm_dead(m.VmDead(), context)
    assert [(s.target, s.message) for s in context.take()] == [
        (VM | LOAD, done(Reason.DEAD, 5)),
        (VM | LOAD, done(Reason.DEAD, 6)),
    ]


@pytest.mark.parametrize(("whole", "pieces"), [(False, 3), (True, 1)])
def test_a_conversion_that_a_dead_vm_is_asked_for_has_failed(whole, pieces):
    actor, context = guest(), Recorder()
    actor.on_vm_dead(m.VmDead(), context)
    ask(actor, end=0x450, whole=whole, context=context)
    answers = context.of(Answered)
    assert context.messages() == [done(Reason.DEAD)]
    assert (answers[0].start, answers[-1].end, len(answers)) == (0x10, 0x450, pieces)
    assert {(fact.reason, fact.latency) for fact in answers} == {(Reason.DEAD, NO_LATENCY)}
    assert [f.request for f in context.of(Requested)] == [fact.request for fact in answers]


def test_a_dead_vm_that_is_to_use_memory_was_asked_for_no_conversion():
    actor, context = guest(), Recorder()
    actor.on_vm_dead(m.VmDead(), context)
    actor.on_touch(m.Touch(5, 0x10, 0x20, SHARED), context)
    assert (context.messages(), context.of(Answered)) == ([done(Reason.DEAD)], [])


def test_answers_that_come_after_the_end_are_nothing():
    actor, context = guest(), Recorder()
    actor.on_vm_dead(m.VmDead(), context)
    actor.on_map_gpa_done(m.MapGpaDone(5, Reason.NONE, 0x20), context)
    actor.on_convert_answer(m.ConvertAnswer(5 << 2, Reason.NONE, -1), context)
    actor.on_accessed(m.Accessed(5, Outcome.DONE), context)
    assert context.take() == []
