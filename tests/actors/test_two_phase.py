"""The two-phase table: complete, closed, and in the order of the mail's five steps."""

import pytest

from actors.gmem import steps as gmem_steps
from actors.gmem.conversion import Conversion
from actors.protocols import PROTOCOLS, TWO_PHASE, Event, Row, Stage, Table
from actors.protocols.table import ALL
from tests.helpers import PRIVATE, SHARED, Recorder, World

ROWS = TWO_PHASE.by_event(SHARED)
STAGES = {
    Stage.WAITING,
    Stage.RESERVING,
    Stage.FREEZING,
    Stage.PREPARING,
    Stage.COMMITTING,
    Stage.ABORTING,
    Stage.THAWING,
    Stage.REPLIED,
}


@pytest.mark.parametrize(
    "row", TWO_PHASE.rows, ids=lambda row: f"{row.stage.name}-{row.event.name}"
)
def test_a_conversion_takes_the_row_of_its_stage_and_event(row, monkeypatch):
    taken, conversion = [], Conversion(1, 0, 1, SHARED, 0, stage=row.stage)
    monkeypatch.setitem(
        gmem_steps.ACTIONS, row.action, lambda *given: taken.append((row.action, given[2]))
    )
    World().gmem().drive(conversion, row.event, Recorder())
    assert (taken, conversion.stage) == ([(row.action, row.who)], row.then)


def test_both_directions_go_the_same_way():
    assert TWO_PHASE.by_event(PRIVATE) == ROWS
    assert {row.to for row in TWO_PHASE.rows} == {None}


def test_two_rows_for_one_pair_are_refused():
    table = Table("twice", "", (TWO_PHASE.rows[0], TWO_PHASE.rows[0]))
    with pytest.raises(AssertionError, match="two rows for one stage and event"):
        table.by_event(SHARED)


def test_the_five_steps_of_the_mail_appear_in_order():
    steps = [row.step[0] for row in TWO_PHASE.rows if row.step[0].isdigit()]
    assert sorted(set(steps)) == ["1", "2", "3", "4", "5"]
    forward = [row.step[0] for row in path(Event.ALL_READY, Event.ALL_COMMITTED)]
    assert forward == ["b", "b", "1", "3", "5", "a"]  # before, after


def path(decision: Event, end: Event) -> list[Row]:
    """The rows of a conversion, without those that stay in their stage."""
    events = [Event.LOCKED, Event.RESERVED, Event.FROZEN, decision, end, Event.THAWED]
    stage, found = Stage.WAITING, list[Row]()
    for event in events:
        found.append(ROWS[stage, event])
        stage = found[-1].then
    assert stage is Stage.REPLIED
    return found


def test_every_stage_is_reached_and_every_one_leads_to_a_reply():
    after = {stage: {row.then for row in TWO_PHASE.rows if row.stage is stage} for stage in STAGES}
    reached, frontier = {Stage.WAITING}, {Stage.WAITING}
    while frontier:
        frontier = {then for stage in frontier for then in after[stage]} - reached
        reached |= frontier
    assert reached == STAGES == {Stage.WAITING} | {row.then for row in TWO_PHASE.rows}
    assert [stage for stage in STAGES if not after[stage]] == [Stage.REPLIED]


def test_every_consumer_is_asked_and_all_of_them_at_once():
    asked = {row.action: row.who for row in TWO_PHASE.rows if row.who}
    everybody = ALL
    assert asked == {
        "prepare_in_time": everybody,
        "decide_commit": everybody,
        "decide_abort": everybody,
    }


def test_the_store_comes_before_the_thaw_and_after_the_last_acknowledgement():
    stores = [row for row in TWO_PHASE.rows if row.action == "complete_thaw"]
    assert [(row.stage, row.event) for row in stores] == [(Stage.COMMITTING, Event.ALL_COMMITTED)]
    assert not {row.action for row in TWO_PHASE.rows} & {"store", "restructure"}


def test_after_the_decision_to_commit_nobody_can_refuse():
    events = {row.event for row in TWO_PHASE.rows if row.stage is Stage.COMMITTING}
    assert events == {Event.POISONED, Event.COMMITTED, Event.ALL_COMMITTED}


def test_scenarios_name_the_table():
    assert PROTOCOLS["two-phase"] is TWO_PHASE
