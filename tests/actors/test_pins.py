"""Pins: who holds a shared page, and how long a conversion to private waits for that."""

import pytest

from actors import messages as m
from actors.address import GMEM, HOST_MAP, vm_address
from actors.contract import Consumer, Fault, Reason
from actors.observations import CountsThawed, GupWaits, Pinned, ReferencesFound
from actors.pins import Pins
from tests.helpers import COST, LINK, PRIVATE, SHARED, TIMER, Recorder, Sent

VM = vm_address(0, 0)
FILE = VM | GMEM
YES, NO = m.Ready(3, Consumer.PINS), Consumer.PINS
LONG = Fault(Reason.REFERENCES, 5)


def pins(*held, budget=5000):
    return Pins(VM, budget, 64, dict(enumerate(held, 1)), len(held))


def prepare(actor, to=PRIVATE, choices=None, costs=None):
    context = Recorder(choices, costs)
    actor.on_prepare(m.Prepare(FILE, 3, 0x10, 0x20, to), context)
    return context


def test_a_page_that_nobody_holds_may_go():
    assert prepare(pins()).take() == [Sent(FILE, YES, LINK)]


def test_a_private_page_has_no_references_and_ready_comes_without_a_wait_for_short_ones():
    context = prepare(pins(), SHARED, {"pins.long": LONG, "pins.transient": LONG})
    assert context.messages() == [YES]
    assert [point for point, _, _ in context.asked] == ["pins.private"]


def test_somebody_astray_on_a_private_page_refuses_too():
    actor = pins()
    context = prepare(actor, SHARED, {"pins.private": LONG}, {"stray_ref": 70, "long_pin": 8})
    unpin, refused = context.take()
    assert unpin == Sent(TIMER, m.Unpin(0x15, 0x16, 1), 70)
    assert refused == Sent(FILE, m.Refused(3, NO, Reason.REFERENCES, 0x15), LINK)


@pytest.mark.parametrize(
    ("held", "answer"),
    [
        ((0x10, 0x11), m.Refused(3, NO, Reason.REFERENCES, 0x10)),
        ((0x00, 0x12), m.Refused(3, NO, Reason.REFERENCES, 0x10)),
        ((0x1F, 0x30), m.Refused(3, NO, Reason.REFERENCES, 0x1F)),
        ((0x00, 0x10), YES),
        ((0x20, 0x30), YES),
    ],
)
def test_a_pin_refuses_at_the_first_page_it_holds(held, answer):
    assert prepare(pins(held)).messages() == [answer]


def test_the_offset_is_the_lowest_of_several():
    answer = m.Refused(3, NO, Reason.REFERENCES, 0x12)
    assert prepare(pins((0x1A, 0x1B), (0x12, 0x13))).messages() == [answer]


PARTS = ((0x10, 0x12), (0x18, 0x20))


@pytest.mark.parametrize("to", [SHARED, PRIVATE])
def test_what_does_not_change_sides_may_be_held(to):
    actor, context = pins((0x12, 0x18)), Recorder()
    actor.receive(m.Prepare(FILE, 3, 0x10, 0x20, to, parts=PARTS), context)
    assert context.messages() == [YES]
    assert {(key >> 12 & 0xFF, count) for _, count, key in context.asked} == {(0x10, 2), (0x18, 8)}
    actor.receive(m.TakePin(0x12, 0x18, 700), Recorder())
    actor.receive(m.TakePin(0x17, 0x19, 700), Recorder())
    assert actor.held == {1: (0x12, 0x18), 2: (0x12, 0x18)}


def test_a_reference_on_a_later_part_refuses():
    actor, context = pins((0x12, 0x19)), Recorder()
    actor.receive(m.Prepare(FILE, 3, 0x10, 0x20, SHARED, parts=PARTS), context)
    assert context.messages() == [m.Refused(3, NO, Reason.REFERENCES, 0x18)]


def test_an_injected_reference_is_on_a_page_that_changes():
    actor = pins()
    context = Recorder({"pins.private": Fault(Reason.REFERENCES, 1)})
    actor.receive(m.Prepare(FILE, 3, 0x10, 0x20, SHARED, parts=PARTS[1:]), context)
    assert actor.held == {1: (0x19, 0x1A)}


def test_a_spin_waits_for_references_to_folios_that_change():
    actor, context = pins((0x10, 0x18)), Recorder()
    actor.receive(m.AwaitQuiet(FILE, 3, 0x10, 0x20, SHARED, PARTS[1:]), context)
    assert context.messages() == [m.Quiet(3)]


@pytest.mark.parametrize(
    ("held", "choices", "page"),
    [
        ((), {}, -1),
        (((0x12, 0x18),), {}, -1),  # where nothing changes
        (((0x12, 0x19),), {}, 0x18),
        ((), {"pins.private": Fault(Reason.REFERENCES, 1)}, 0x11),
    ],
)
def test_one_look_after_the_unmap_says_whether_there_is_a_reference(held, choices, page):
    context = Recorder(choices)
    pins(*held).receive(m.Recount(FILE, 3, 0x10, 0x20, SHARED, PARTS), context)
    assert context.messages()[-1] == m.Recounted(3, page >= 0, page)


def test_an_injected_long_pin_is_a_pin_like_any_other():
    actor = pins()
    context = prepare(actor, choices={"pins.long": LONG})
    unpin, refused = context.messages()
    assert (unpin, refused.offset) == (m.Unpin(0x15, 0x16, 1), 0x15)
    assert actor.held == {1: (0x15, 0x16)}


DRAIN = 2 * COST  # two costs: the work, and one processor's share times their number
GONE, STAYS = Reason.NONE, Reason.REFERENCES


@pytest.mark.parametrize(
    ("point", "hold", "waits", "wait", "reason"),
    [
        ("pins.transient", 1, True, DRAIN, GONE),  # while the batches are drained
        ("pins.transient", DRAIN + 5000, True, DRAIN + 5000, GONE),
        ("pins.transient", DRAIN + 5001, True, DRAIN + 5000, STAYS),
        ("pins.transient", DRAIN, False, DRAIN, GONE),
        ("pins.transient", DRAIN + 1, False, DRAIN, STAYS),
        ("pins.lru", DRAIN + 5001, True, DRAIN, GONE),
        ("pins.lru", DRAIN + 5001, False, DRAIN, GONE),
    ],
)
def test_batches_are_drained_once_and_what_is_left_may_have_the_budget(
    point, hold, waits, wait, reason
):
    actor = pins()
    context = Recorder({point: Fault(Reason.REFERENCES, 2)}, {"transient_ref": hold})
    actor.on_prepare(m.Prepare(FILE, 3, 0x10, 0x20, PRIVATE, waits=waits), context)
    decided = m.PinsDecided(FILE, 3, 0x10, 0x20, reason, 0x12)
    assert context.take() == [Sent(TIMER, decided, wait)]
    assert actor.waiting == {3: 1}


@pytest.mark.parametrize("point", ["pins.transient", "pins.lru"])
def test_who_looks_once_is_refused_for_any_short_reference(point):
    context = Recorder({point: Fault(Reason.REFERENCES, 2)})
    pins().on_invalidate(m.Invalidate(FILE, 3, 0x10, 0x20, PRIVATE), context)
    assert context.messages() == [m.Refused(3, NO, Reason.REFERENCES, 0x12)]
    assert [fact.transient for fact in context.of(ReferencesFound)] == [True]


@pytest.mark.parametrize(
    ("reason", "answer"),
    [(Reason.NONE, YES), (Reason.REFERENCES, m.Refused(3, NO, Reason.REFERENCES, 0x12))],
)
def test_the_end_of_the_wait_is_the_answer(reason, answer):
    actor, context = pins(), Recorder()
    actor.waiting = {3: 1}
    actor.on_decided(m.PinsDecided(FILE, 3, 0x10, 0x20, reason, 0x12), context)
    assert (actor.waiting, context.messages()) == ({}, [answer])


def test_abort_calls_the_wait_off():
    actor, context = pins(), Recorder()
    actor.waiting = {3: 8}
    actor.on_abort(m.Abort(FILE, 3), context)
    assert (context.cancelled, context.messages()) == ([8], [m.Aborted(3, Consumer.PINS)])


def test_commit_has_nothing_to_do():
    context = Recorder()
    pins().on_commit(m.Commit(FILE, 3, 0x10, 0x20, PRIVATE), context)
    assert context.messages() == [m.Committed(3, Consumer.PINS)]


def test_a_pin_lasts_until_its_holder_lets_go():
    actor, context = pins(), Recorder()
    actor.on_take_pin(m.TakePin(1, 4, 700), context)
    assert context.take() == [Sent(TIMER, m.Unpin(1, 4, 1), 700)]
    actor.on_unpin(m.Unpin(1, 4, 1), context)
    assert actor.held == {}
    assert context.of(Pinned) == [Pinned(VM, 1, 4, True), Pinned(VM, 1, 4, False)]


def test_a_cooperative_vmm_drops_what_lies_in_the_way_and_its_timer_finds_nothing():
    actor, context = pins((0, 4), (4, 8)), Recorder()
    actor.on_drop(m.DropPins(4, 5), context)
    actor.on_unpin(m.Unpin(4, 8, 2), context)
    assert (actor.held, len(context.facts)) == ({1: (0, 4)}, 1)


def test_the_holders_go_with_the_vm():
    actor, context = pins((0, 4), (8, 9)), Recorder()
    actor.on_vm_dead(m.VmDead(), context)
    assert (actor.held, len(context.of(Pinned))) == ({}, 2)


def test_nobody_takes_a_page_of_a_vm_that_is_gone():
    actor = pins()
    actor.receive(m.VmDead(), Recorder())
    actor.receive(m.TakePin(0x10, 0x11, 700), Recorder())
    prepare(actor, choices={"pins.long": LONG})
    assert actor.held == {}


def wanted(actor, start=0x1F, end=0x21):
    context = Recorder()
    actor.receive(m.TakePin(start, end, 700), context)
    return context


AGAIN = Sent(VM | HOST_MAP, m.GetPages(0x1F, 0x21, 700), LINK)


def test_who_wants_a_frozen_page_waits_and_one_beside_it_is_had():
    actor = pins()
    prepare(actor)
    assert wanted(actor).facts == [GupWaits(VM, 3, 0x1F, 0x21)]
    wanted(actor, 0x20, 0x21)
    assert actor.held == {1: (0x20, 0x21)}


def test_after_abort_he_looks_again_from_the_page_tables_on():
    actor, context = pins(), Recorder()
    prepare(actor)
    wanted(actor)
    actor.receive(m.Abort(FILE, 3), context)
    assert (actor.frozen, actor.put_off) == ({}, [])
    assert context.take() == [AGAIN, Sent(FILE, m.Aborted(3, Consumer.PINS), LINK)]
    assert context.facts == [CountsThawed(VM, 3)]


def test_a_refusal_leaves_nothing_frozen():
    refused = pins((0x10, 0x11))
    context = prepare(refused)
    assert (refused.frozen, context.of(CountsThawed)) == ({}, [CountsThawed(VM, 3)])


def committed():
    actor = pins()
    prepare(actor)
    actor.receive(m.Commit(FILE, 3, 0x10, 0x20, PRIVATE), Recorder())
    assert actor.frozen == {}
    return actor


def test_after_commit_guest_memfd_is_asked_whether_it_is_over():
    actor = committed()
    assert wanted(actor).take() == [Sent(FILE, m.AwaitThaw(3), LINK)]
    context = Recorder()
    actor.receive(m.ConversionOver(FILE, 3), context)
    assert (context.take(), actor.committed, actor.put_off) == ([AGAIN], {}, [])
    wanted(actor)
    assert actor.held == {1: (0x1F, 0x21)}


def test_who_has_waited_before_the_commit_is_asked_for_with_it():
    actor, context = pins(), Recorder()
    prepare(actor)
    wanted(actor)
    actor.receive(m.Commit(FILE, 3, 0x10, 0x20, PRIVATE), context)
    assert [sent.message for sent in context.take()] == [
        m.AwaitThaw(3),
        m.Committed(3, Consumer.PINS),
    ]


def test_word_of_an_older_conversion_does_not_thaw_the_last_one():
    actor = committed()
    actor.receive(m.ConversionOver(FILE, 2), Recorder())
    assert list(actor.committed) == [FILE]


def test_counts_are_frozen_from_quiet_on():
    actor = pins()
    actor.receive(m.AwaitQuiet(FILE, 3, 0x10, 0x20, SHARED), Recorder())
    assert wanted(actor).take() == [Sent(FILE, m.AwaitThaw(3), LINK)]


def test_nobody_goes_astray_on_what_prepare_has_frozen():
    """A wait for references after the COMMIT, of the same range, has no opportunity that PREPARE has not had."""
    actor, context = committed(), Recorder({"pins.private": Fault(Reason.REFERENCES, 0)})
    actor.receive(m.AwaitQuiet(FILE, 3, 0x10, 0x20, SHARED), context)
    assert context.take() == [Sent(FILE, m.Quiet(3), LINK)]


def test_nobody_waits_for_a_vm_that_is_gone():
    actor = pins()
    prepare(actor)
    wanted(actor)
    actor.receive(m.VmDead(), Recorder())
    assert (wanted(actor).facts, actor.put_off, actor.held) == ([], [], {})
