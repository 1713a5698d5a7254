"""docs/planted-bugs.md is the catalogue."""

from pathlib import Path

from tests.negative.page import catalogue, reference

PAGE = Path(__file__).parents[2] / "docs" / "planted-bugs.md"


def test_the_page_is_the_catalogue():
    assert PAGE.read_text() == reference()


def test_every_bug_says_what_it_is_and_is_found_by_something():
    planted = list(catalogue())
    assert len({one.bug for one in planted}) >= 25
    assert [one.bug.__name__ for one in planted if not (one.bug.__doc__ and one.ids)] == []
