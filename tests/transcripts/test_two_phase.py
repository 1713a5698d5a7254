"""Golden transcripts of two-phase. `pytest --rewrite` renews them; commit only what you can explain."""

import inspect
from pathlib import Path

import pytest

from actors.contract import Reason
from tests.transcripts.scribe import Scribe
from tests.transcripts.situations import SITUATIONS

DATA = Path(__file__).parent / "data"
HEAD = [
    "",
    "us, from -> to, message | what it changed. Ranges are gfns, at guest_memfd indices.",
    "op is request.attempt. Every unit of work takes 1 us, a link 0.2 us.",
]


def transcript(name: str) -> str:
    """The whole file: what it is about, then a line for each message."""
    about = inspect.cleandoc(SITUATIONS[name].__doc__ or "").splitlines()
    comment = "".join(f"# {text}".rstrip() + "\n" for text in [*about, *HEAD])
    return f"{comment}\n{Scribe(SITUATIONS[name]()).run()}"


@pytest.mark.parametrize("name", SITUATIONS)
def test_a_conversion_goes_as_its_transcript_says(name, request):
    file, found = DATA / f"two_phase_{name}.txt", transcript(name)
    if request.config.getoption("--rewrite"):
        file.write_text(found, encoding="utf-8")
    assert found == file.read_text(encoding="utf-8")


def test_there_is_no_transcript_without_its_situation():
    files = {file.stem.removeprefix("two_phase_") for file in DATA.glob("*.txt")}
    assert files == set(SITUATIONS)


def test_a_transcript_is_the_same_every_time():
    assert transcript("commit_bug") == transcript("commit_bug")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("to_shared", Reason.NONE),
        ("to_private", Reason.NONE),
        ("refused_no_memory_by_guest_memfd", Reason.NO_MEMORY),
        ("refused_no_memory_by_kvm", Reason.NO_MEMORY),
        ("refused_references", Reason.REFERENCES),
        ("refused_busy", Reason.BUSY),
        ("refused_interrupted", Reason.INTERRUPTED),
        ("refused_timeout", Reason.TIMEOUT),
        ("refused_poisoned", Reason.POISONED),
        ("refused_dead", Reason.DEAD),
        ("commit_bug", Reason.BUG),
        ("prepare_timeout", Reason.TIMEOUT),
    ],
)
def test_a_situation_ends_as_its_name_says(name, reason):
    world = SITUATIONS[name]()
    world.run()
    assert world.answers[-1].reason is reason
    assert (world.found <= {"AN15"}, world.pending()) == (True, {})


def test_every_reason_has_a_transcript():
    reasons = {world.answers[-1].reason for world in map(finished, SITUATIONS)}
    assert reasons == set(Reason)


def finished(name):
    world = SITUATIONS[name]()
    world.run()
    return world
