"""Every claim comes out as the table says, and the scenario of all failures shows what each protocol admits."""

import re
from pathlib import Path

import pytest

from actors import messages as m
from actors.protocols import PROTOCOLS
from actors.vmm import kill as vmm_kill
from actors.vmm.process import Vmm
from workloads.checkers.admitted import CANNOT, NEVER, ROWS, WINDOWS
from workloads.claims import CLAIMS, NOT_SHOWN, OVERALL
from workloads.claims_page import differences, mark_of, one, reference, rule_names, seen
from workloads.scenario import Fault, shipped

PAGE = Path(__file__).resolve().parents[2] / "docs" / "claims.md"
ALL_AT_ONCE = [pytest.mark.timeout(600), pytest.mark.nightly]  # some 80 s of CPU


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.scenario)
def test_a_claim_is_shown_by_the_protocols_it_is_claimed_of_and_by_no_other(claim):
    runs = seen(claim.scenario)
    found = {
        check: tuple(name for name, run in runs.items() if run.anomalies.get(check))
        for check in claim.shows
    }
    assert found == {check: tuple(names) for check, names in claim.shows.items()}
    assert {name: run.reasons for name, run in runs.items() if run.verdict != "valid"} == {}


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.scenario)
def test_a_claim_says_whom_its_fault_cannot_strike(claim):
    """Else that a protocol does not show it would only mean that nothing has happened to it."""
    runs = seen(claim.scenario)
    spared = {name for name, run in runs.items() if run.struck and not run.struck[0][1]}
    assert spared == {*claim.unmet}
    assert not spared & {name for names in claim.shows.values() for name in names}
    assert all(claim.unmet.values())


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.scenario)
def test_every_protocol_fails_at_something_and_is_asked_for_the_same(claim):
    """The window needs no failure, only a guest that uses what it converts."""
    runs = seen(claim.scenario)
    assert len({run.asked for run in runs.values()}) == 1
    if any(run.struck for run in runs.values()):
        assert all(run.failed + run.unfinished for run in runs.values())
    else:
        assert claim.scenario == "claim-window-rw1"
        assert all(run.implicit for name, run in runs.items() if name not in claim.shows["AN20"])


def test_a_mm_that_goes_under_its_thread_is_found_in_the_scenario_of_kills(monkeypatch):
    """Under every protocol; without the bug it is valid, which the tests above hold."""
    on_kill = Vmm.HANDLERS[m.Kill]

    def at_once(vmm, message, context):
        on_kill(vmm, message, context)
        if vmm.life == vmm_kill.Life.KILLED:
            vmm_kill.leave(vmm, context)

    monkeypatch.setitem(Vmm.HANDLERS, m.Kill, at_once)
    runs = [one.__wrapped__("claim-killed", name) for name in PROTOCOLS]
    assert all("I26" in "".join(run.reasons) for run in runs)


def test_each_scenario_of_a_claim_is_in_the_table_once():
    assert sorted(claim.scenario for claim in CLAIMS) == [
        name for name in sorted(shipped()) if name.startswith("claim-")
    ]


def test_what_two_phase_shows_is_said_to_be_so():
    """It is claimed to leave nothing but these: retries, a MapGPA half done, a mapping that stays split."""
    shows = {
        check for claim in CLAIMS for check, names in claim.shows.items() if "two-phase" in names
    }
    assert shows == {"AN12", "AN15", "AN16"}


@pytest.mark.parametrize(
    "protocol",
    [
        "two-phase",
        *(pytest.param(name, marks=ALL_AT_ONCE) for name in PROTOCOLS if name != "two-phase"),
    ],
)
def test_the_scenario_of_all_failures_shows_every_cell_that_says_so_and_no_excluded_one(protocol):
    run = one(OVERALL, protocol)
    assert (run.verdict, run.reasons) == ("valid", ())
    wanted = {check for check in ROWS if mark_of(check, protocol) in "Yb"}
    excused = {check for check, name in NOT_SHOWN if name == protocol}
    assert wanted - {*run.anomalies} == excused
    excluded = {check for check in ROWS if mark_of(check, protocol) in CANNOT}
    assert not excluded & {*run.anomalies}


@pytest.mark.timeout(600)
@pytest.mark.nightly
def test_the_page_in_the_tree_is_current():
    assert PAGE.read_text(encoding="utf-8") == reference(), (
        "run: python -m workloads.claims_page > docs/claims.md"
    )


def test_every_window_that_nothing_opens_is_told_as_a_difference():
    told = {row[:2] for row in differences()}
    assert {(w.check, p) for w in WINDOWS if w.when is NEVER for p in w.protocols} <= told
    assert {*NOT_SHOWN} <= told


@pytest.mark.timeout(600)
@pytest.mark.nightly
def test_the_page_names_a_command_for_each_claim_that_the_command_line_takes():
    commands = re.findall(r"gmemsim compare (claim-\S+) --protocol (\S+)", reference())
    assert [name for name, _ in commands] == [claim.scenario for claim in CLAIMS]
    assert all(name in PROTOCOLS for _, names in commands for name in names.split(","))


def test_rules_about_one_point_are_told_apart_by_what_is_not_the_same():
    rules = [
        Fault(point="vmm.kill", nth=(40,), hosts=(0,), lasts=5),
        Fault(point="vmm.kill", nth=(400,), hosts=(0,), lasts=5, also=("gmem.tree",)),
        Fault(point="gmem.tree", start_ns=1000),
        Fault(point="tdx.bug", nth=(3,)),
    ]
    assert rule_names(rules) == [
        "`vmm.kill` with `nth = [40]`",
        '`vmm.kill` with `nth = [400]`, `also = ["gmem.tree"]`',
        '`gmem.tree` with `nth = [400]`, `lasts = "5ns"`, `also = ["gmem.tree"]`, `hosts = [0]`',
        '`gmem.tree` with `from = "1us"`',
        "`tdx.bug`",
    ]
