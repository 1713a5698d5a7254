"""The explorer against published counts of states: TCommit and TwoPhase of the TLA+ examples."""

import pytest

from cluster.explore import Limits, Search, taken_step
from tests.explore.textbook import (
    Abort,
    Commit,
    TransactionManager,
    outcomes,
    transaction_commit,
    two_phase,
)


def explored(system, **limits):
    search = Search(system, Limits(**limits))
    search.run()
    return search


def test_transaction_commit_has_34_states():
    assert explored(transaction_commit(3)).distinct == 34


@pytest.mark.parametrize(
    ("managers", "states"),
    [(3, 288), (5, 8_832), pytest.param(6, 50_816, marks=pytest.mark.nightly)],
)
def test_two_phase_commit_has_as_many_states_as_published(managers, states):
    search = explored(two_phase(managers))
    assert search.whole
    # Everybody prepares and is heard of, the manager decides, everybody hears of that.
    assert (search.distinct, search.depth) == (states, 3 * managers + 1)


def test_nobody_commits_what_another_one_aborts():
    system = two_phase(3)
    found = outcomes(system, explored(system).states)
    assert not any({"committed", "aborted"} <= states for states in found)
    assert frozenset({"committed"}) in found and frozenset({"aborted"}) in found


class Hasty(TransactionManager):
    """Planted: does not wait for the last one."""

    def on_commit(self, _, context):
        if self.state == "init" and len(self.prepared) >= self.managers - 1:
            self.decide(Commit, context)

    HANDLERS = {**TransactionManager.HANDLERS, Commit: on_commit}


class Forgetful(TransactionManager):
    """Planted: an abort does not end it."""

    def on_abort(self, _, context):
        if self.state == "init":
            self.decide(Abort, context)
            self.state = "init"

    HANDLERS = {**TransactionManager.HANDLERS, Abort: on_abort}


@pytest.mark.parametrize("kind", [Hasty, Forgetful])
def test_a_planted_bug_in_an_actor_shows_in_states_and_counts(kind):
    system = two_phase(3, kind)
    search = explored(system)
    assert any({"committed", "aborted"} <= states for states in outcomes(system, search.states))
    assert search.distinct != 288


@pytest.mark.parametrize(("cut", "limit"), [("states", 100), ("depth", 4)])
def test_a_limit_ends_the_search_and_is_said(cut, limit):
    search = explored(two_phase(3), **{cut: limit})
    assert (search.cut, search.whole) == (cut, False)
    assert search.distinct < 288


def test_a_state_is_found_by_a_shortest_way():
    system = two_phase(3)
    search = explored(system)
    for number in range(search.distinct):
        way, state = search.way(number), system.first
        for step in way:
            state = taken_step(system, state, step).state
        assert state == search.states[number]
        assert len(way) == search.depths[number]
