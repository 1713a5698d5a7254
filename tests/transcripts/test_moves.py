"""Golden transcripts of moves. `pytest --rewrite` renews them; commit only what you can explain."""

from functools import cache

import pytest

from actors.fleet.move_messages import ENDS
from actors.fleet.move_observations import MoveChanged, VcpusStopped
from tests.transcripts.moves import STORIES, played
from tests.transcripts.playing import DATA

FOLDER = DATA.parent / "moves_data"
each = pytest.mark.parametrize("name", STORIES)
told = cache(played)


@each
def test_a_move_goes_as_its_transcript_says(name, request):
    file, (found, _) = FOLDER / f"{name}.txt", told(name)
    if request.config.getoption("--rewrite"):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(found, encoding="utf-8")
    assert found == file.read_text(encoding="utf-8")


@each
def test_it_ends_as_its_story_says_and_nothing_is_found(name):
    _, fleet = told(name)
    ends = [fact.phase for fact in fleet.of(MoveChanged) if fact.phase in ENDS]
    assert (ends, fleet.found) == ([STORIES[name].last], set())


@each
def test_whoever_has_been_stopped_runs_again_exactly_once(name):
    _, fleet = told(name)
    facts = [fact.stopped for fact in fleet.of(VcpusStopped)]
    assert facts in ([], [True, False])


def test_there_is_no_transcript_without_its_story():
    assert {file.stem for file in FOLDER.glob("*")} == set(STORIES)
