"""Parts of the shipped `smallest` that take a second: what each protocol shows, and that planted bugs are seen."""

import pytest

from actors.gmem import release as gmem_release
from cluster.explore import choices_of, clock, steps_of, taken_step
from tests.explore.explorations import NO_FAULTS, THERE, at, explored, known
from tests.negative.bugs import leave_blocked, reply_before_the_thaw


def test_without_faults_every_order_is_well_and_all_ends_alike():
    found = explored(NO_FAULTS)
    assert (found.verdict, found.shown) == ("valid", set())
    assert len(found.search.ends) == 1
    assert found.search.whole


def test_the_same_exploration_has_the_same_counts():
    assert explored(THERE, at("gmem.tree")).counts == known("gmem.tree").counts


def test_time_is_no_part_of_a_state(monkeypatch):
    """Were a time kept in a state as it is, one that grows would make ever more of them, and another NOW others."""
    before = known("tdx.busy").counts
    for module in ("cluster.explore.clock", "cluster.explore.local", "workloads.explore.books"):
        monkeypatch.setattr(f"{module}.NOW", clock.NOW + 12_345)
    assert explored(THERE, at("tdx.busy")).counts == before


@pytest.mark.parametrize(
    "point",
    ["tdx.busy", "tdx.demote_busy", "kvm.split_memory", "gmem.vmemmap", "pins.private", "tdx.bug"],
)
def test_two_phase_shows_what_its_definition_admits_and_no_more(point):
    found = known(point)
    assert (found.verdict, found.shown - {"AN15"}) == ("valid", set())
    assert found.properties[f"{point} strikes", "sometimes"].shown
    assert found.properties["a page is poisoned", "sometimes"].shown == (point == "tdx.bug")


# Protocol, a point, and what its failure shows that two-phase's row has not.
OLDER = [
    ("failable-notifier", "gmem.tree", {"AN1", "AN3", "I11", "I13"}),
    ("undo", "gmem.work", {"AN19", "I21", "I22"}),
    ("undo", "tdx.bug", {"L1", "L2"}),
    ("undo-split-first", "gmem.work", {"AN19", "I21", "I22"}),
    ("in-place", "tdx.bug", {"AN11", "I4"}),
    ("in-place-huge", "gmem.vmemmap", {"AN1", "AN3", "I11", "I13"}),
    ("two-phase-refcount", "tdx.bug", {"L1", "L2"}),
    ("two-phase-untraced", "tdx.bug", {"AN11", "I4"}),
]


@pytest.mark.parametrize(("protocol", "point", "shows"), OLDER)
def test_an_older_protocol_shows_what_its_own_row_admits(protocol, point, shows):
    found = known(point, protocol)
    breaches = {p.name: p for p in found.properties.values() if p.verdict == "violated"}
    assert found.verdict == "violated"
    assert breaches.keys() == shows
    assert all(each.own and not each.admitted for each in breaches.values())


# A bug that is planted, where something fails, and what it shows.
PLANTED = [
    (leave_blocked, "tdx.demote_busy", 2, {"I11", "AN3"}),
    (reply_before_the_thaw, "kvm.split_memory", 1, {"I14"}),
]


@pytest.mark.parametrize(("bug", "point", "faults", "shows"), PLANTED)
def test_a_planted_bug_in_an_actor_changes_counts_and_verdict(
    bug, point, faults, shows, monkeypatch
):
    before = explored(THERE, at(point), faults=faults)
    bug(None, monkeypatch)
    found = explored(THERE, at(point), faults=faults)
    assert (before.verdict, found.verdict) == ("valid", "violated")
    assert shows <= found.shown
    assert found.counts != before.counts


def test_frames_outlive_their_file_while_somebody_refers_to_them(monkeypatch):
    assert "I4" not in known("pins.private", "undo-split-first").shown
    monkeypatch.setattr(gmem_release, "HOLDERS", ())  # planted: only KVM is waited for
    assert "I4" in explored(THERE, at("pins.private"), protocol="undo-split-first").shown


def test_a_limit_is_unknown_unless_a_breach_was_found_before():
    assert explored(at("tdx.bug"), states=500).verdict == "unknown"
    assert explored(at("tdx.bug"), depth=20).verdict == "unknown"
    assert explored(at("gmem.work"), protocol="undo", depth=12).verdict == "violated"


def test_what_is_never_met_is_said_and_is_no_breach():
    found = explored(THERE, at("gmem.work"))
    assert found.properties["gmem.work strikes", "sometimes"].verdict == "never"
    assert found.verdict == "valid"


def test_a_conversion_that_can_never_succeed_is_a_breach():
    found = explored(THERE, "fleet.spare_memory=0B", NO_FAULTS)
    each = found.properties["a conversion to shared succeeds", "sometimes"]
    assert (each.verdict, found.verdict) == ("violated", "violated")


def test_choices_lead_where_the_search_has_been():
    found = known("tdx.bug", "in-place")
    system = found.model.system
    way = found.properties["AN11", "always"].way
    again = steps_of(system, choices_of(system, way.steps))
    assert tuple(again[: len(way.steps)]) == way.steps
    state = system.first
    for step in way.steps:
        move = taken_step(system, state, step)
        state = move.state
    assert "AN11" in move.shown


def test_books_that_are_opened_again_are_what_was_put_back():
    books = known("tdx.bug").model.system.watch
    assert len(books.kept) > 100
    for number in range(len(books.kept)):
        books.open_at(number)
        assert books.put_back() == number


def test_a_silent_consumer_is_met_where_timeouts_may_come_at_any_time():
    late, soon = explored(THERE, NO_FAULTS), explored(THERE, NO_FAULTS, patient=False)
    refused = "a conversion is refused", "sometimes"
    assert not late.properties[refused].shown and soon.properties[refused].shown
    assert (soon.verdict, soon.shown) == ("valid", {"AN15"})


def test_at_a_point_nothing_or_the_first_or_the_last_strikes():
    chance = known("tdx.busy").model.system.locals.chance
    faults = chance.outcomes("tdx.busy", 5, 0, 1, None)
    assert [fault and fault.first for fault in faults] == [None, 0, 4]
    assert chance.outcomes("tdx.busy", 1, 0, 1, None)[1:] == faults[1:2]
    assert chance.outcomes("tdx.bug", 5, 0, 1, None) == (None,)


@pytest.mark.nightly
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("name", "faults"), [("smallest-device", 1), ("smallest-two", 0), ("smallest-touch", 0)]
)
def test_two_phase_is_valid_in_the_larger_cases(name, faults):
    found = explored(name=name, faults=faults)
    assert (found.verdict, found.search.whole) == ("valid", True)


@pytest.mark.parametrize("protocol", ["failable-notifier", "undo"])
def test_the_oom_reaper_minds_a_callback_that_may_fail(protocol):
    shown = explored(name="smallest-reaper", protocol=protocol, reduced=True).shown
    assert shown == ({"AN14"} if protocol == "failable-notifier" else set())


@pytest.mark.parametrize("protocol", ["in-place", "two-phase"])
def test_half_a_map_gpa_stays_where_its_second_piece_fails_twice(protocol):
    once, twice = (
        explored(name="smallest-pieces", protocol=protocol, faults=faults, reduced=True)
        for faults in (1, 2)
    )
    assert (once.shown, twice.shown, twice.verdict) == (set(), {"AN16"}, "valid")


@pytest.mark.nightly
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", ["smallest-two", "smallest-touch"])
def test_two_phase_is_valid_with_a_failure_where_orders_are_left_out(name):
    found = explored(name=name, reduced=True)
    assert (found.verdict, found.shown, found.search.whole) == ("valid", {"AN15"}, True)


# Everything that must not be shown, or is admitted, and was: docs/explore.md has the table.
SHOWN = {
    "failable-notifier": "AN1 AN3 AN8 AN10 AN13 AN15 AN25 I11 I13 I18",
    "undo": "AN1 AN3 AN8 AN15 AN18 AN19 AN25 I11 I13 I21 I22 L1 L2",
    "undo-split-first": "AN1 AN3 AN8 AN10 AN15 AN18 AN19 AN25 I11 I13 I21 I22",
    "in-place": "AN8 AN11 I4",
    "in-place-huge": "AN1 AN3 AN8 AN11 AN15 I4 I11 I13",
    "two-phase": "AN15",
    "two-phase-refcount": "AN15 L1 L2",
    "two-phase-untraced": "AN11 AN15 I4",
}


@pytest.mark.nightly
@pytest.mark.timeout(600)
@pytest.mark.parametrize("protocol", SHOWN)
def test_what_each_protocol_shows_in_smallest(protocol):
    found = explored(protocol=protocol)
    assert found.search.whole
    assert found.shown == {*SHOWN[protocol].split()}
    assert all(p.own for p in found.properties.values() if p.verdict == "violated")


@pytest.mark.nightly
@pytest.mark.timeout(600)
def test_a_vmm_may_be_killed_at_any_point_of_a_conversion():
    found = explored(name="smallest-death", reduced=True)
    assert (found.verdict, found.shown) == ("valid", set())
    assert found.properties["vmm.kill strikes", "sometimes"].shown
