"""docs/planted-bugs.md is the catalogue, and no part of it has been forgotten."""

from collections import Counter
from pathlib import Path

import pytest

from tests.negative import swarm_runs
from tests.negative.catalogue import bugs, catalogue
from tests.negative.page import reference
from tests.negative.subjects import SUBJECTS, names_of
from tests.negative.swarm_runs import FAILS, Measured, Tried

PAGE = Path(__file__).parents[2] / "docs" / "planted-bugs.md"
FEW = ("keep_the_owner", "thaw_counts_in_commit")


def test_the_page_is_the_catalogue():
    assert PAGE.read_text() == reference()


def test_every_bug_says_what_it_is_and_is_found_by_something():
    planted = list(catalogue())
    assert len({one.bug for one in planted}) >= 25
    assert [one.bug.__name__ for one in planted if not (one.bug.__doc__ and one.ids)] == []


def test_no_two_bugs_have_one_name():
    assert len({one.bug for one in catalogue()}) == len(bugs())


def test_every_bug_is_about_something():
    """If not: say what it is about in tests/negative/subjects.py."""
    listed = Counter(name for subject in SUBJECTS for name in names_of(subject))
    assert listed == dict.fromkeys(bugs(), 1)


def test_every_bug_has_been_planted_in_the_swarm():
    """If not: `python -m tests.negative.swarm_runs` goes on where it is."""
    measured = swarm_runs.read()
    assert measured.bugs.keys() == bugs().keys()
    assert all(one.found or one.runs == measured.seeds for one in measured.bugs.values())


# --- the measurement itself ----------------------------------------------------------------------


@pytest.fixture
def few():
    return {name: plant for name, plant in bugs().items() if name in FEW}


def measured(few, seeds, known=None):
    found = known or Measured()
    assert list(swarm_runs.measure(found, seeds, few)) == [name for name in bugs() if name in FEW]
    return found


def test_it_counts_the_runs_until_a_bug_is_found(few):
    found = measured(few, 1)
    assert found.bugs["keep_the_owner"].runs == 1 and "I2" in found.bugs["keep_the_owner"].found
    assert found.bugs["thaw_counts_in_commit"] == Tried(1)
    assert (found.seeds, FAILS in found.clean) == (1, False)


@pytest.mark.nightly
def test_it_goes_on_where_it_was_and_begins_anew_where_seeds_are_others(few):
    known = measured(few, 2)
    known.bugs["thaw_counts_in_commit"] = Tried(3, ["I9"])
    assert measured(few, 3, known).bugs["thaw_counts_in_commit"] == Tried(3, ["I9"])
    known.clean[0] = "other"
    assert measured(few, 3, known).bugs["thaw_counts_in_commit"] == Tried(3)


def test_a_seed_that_fails_without_the_bug_finds_none(few):
    assert swarm_runs.search(few["keep_the_owner"], [FAILS, FAILS], Tried(0)) == Tried(2)


def test_what_is_kept_is_read_again(tmp_path):
    found = Measured("0", ["12ab", FAILS], {"one": Tried(2), "other": Tried(1, ["I1"])})
    swarm_runs.write(found, tmp_path / "kept.json")
    assert swarm_runs.read(tmp_path / "kept.json") == found
