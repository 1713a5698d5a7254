"""The reference page of protocols says what their tables say."""

import re
from pathlib import Path

import pytest

from actors.contract import Share
from actors.gmem.steps import ACTIONS
from actors.protocols import PROTOCOLS, TWO_PHASE, Event, Row, Stage, Table
from tests.toy_protocols import LIAR, registered
from workloads.protocol_page import diagrams, edges, reference

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "protocols.md"
EDGE = re.compile(r"^(\w+) --> (\w+): (\w+) / (\w+)$")


def test_the_page_in_the_tree_is_current():
    found = PAGE.read_text(encoding="utf-8")
    assert found == reference(), (
        "run: python -m workloads.protocol_page > docs/reference/protocols.md"
    )


@pytest.mark.parametrize("to", Share)
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_diagram_has_an_edge_for_each_row_that_leads_anywhere_and_no_other(protocol, to):
    rows = PROTOCOLS[protocol].by_event(to).values()
    found = [EDGE.match(line) for line in edges(rows)]
    drawn = [edge.groups() for edge in found if edge]
    stays = {(row.stage.name, row.then.name) for row in rows if row.action == "note"}
    wanted = {(r.stage.name, r.then.name, r.event.name, r.action) for r in rows}
    assert len(drawn) == len(found) == len({*drawn})
    missing = wanted - {*drawn}
    assert {*drawn} <= wanted
    # What is missing only notes, or begins where this direction never comes.
    reached = {"WAITING"} | {then for _, then, *_ in drawn}
    assert all((stage, then) in stays or stage not in reached for stage, then, *_ in missing)


def test_every_protocol_row_and_action_is_on_the_page():
    page = reference()
    for name, table in PROTOCOLS.items():
        assert f"\n## {name}\n" in page
        for number, row in enumerate(table.rows, 1):
            assert f"| {number} | {row.stage.name} | {row.event.name}" in page
            assert f"| {row.step} |" in page
    assert all(f"\n| `{action}` | " in page for action in ACTIONS)


def test_an_action_says_what_it_does():
    rows = [line for line in reference().splitlines() if line.startswith("| `")]
    assert not [line for line in rows if line.endswith("|  |")]


def test_directions_that_do_not_differ_share_a_diagram():
    one = Table("one", "", TWO_PHASE.rows)
    two = Table(
        "two",
        "",
        (
            Row(Stage.WAITING, Event.LOCKED, "reply", Stage.REPLIED, "1", (), Share.SHARED),
            Row(Stage.WAITING, Event.LOCKED, "freeze", Stage.FREEZING, "1", (), Share.PRIVATE),
        ),
    )
    titles = [[line for line in diagrams(table) if line.endswith(":\n")] for table in (one, two)]
    assert titles == [["Either way:\n"], ["To shared:\n", "To private:\n"]]


def test_a_new_protocol_comes_onto_the_page_by_itself():
    with registered(LIAR):
        page = reference()
    assert "\n## liar\n" in page and LIAR.meaning in page
