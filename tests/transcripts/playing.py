"""Plays a situation under a protocol: its transcript, and what the tests want to know of the run."""

import functools
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from actors.contract import Reason
from actors.observations import Failed
from actors.protocols import Row
from tests.transcripts.remains import Remains
from tests.transcripts.scribe import Scribe
from tests.transcripts.situations import SITUATIONS, world_of
from tests.transcripts.stories.failable_notifier import FAILABLE_NOTIFIER
from tests.transcripts.stories.in_place import IN_PLACE
from tests.transcripts.stories.in_place_huge import IN_PLACE_HUGE
from tests.transcripts.stories.told import Told
from tests.transcripts.stories.two_phase import TWO_PHASE
from tests.transcripts.stories.two_phase_refcount import TWO_PHASE_REFCOUNT
from tests.transcripts.stories.two_phase_untraced import TWO_PHASE_UNTRACED
from tests.transcripts.stories.undo import UNDO
from tests.transcripts.stories.undo_split_first import UNDO_SPLIT_FIRST

DATA = Path(__file__).parent / "data"
STORIES: Mapping[str, Mapping[str, Told]] = {
    "failable-notifier": FAILABLE_NOTIFIER,
    "undo": UNDO,
    "undo-split-first": UNDO_SPLIT_FIRST,
    "in-place": IN_PLACE,
    "in-place-huge": IN_PLACE_HUGE,
    "two-phase": TWO_PHASE,
    "two-phase-refcount": TWO_PHASE_REFCOUNT,
    "two-phase-untraced": TWO_PHASE_UNTRACED,
}
LEGEND = (
    "us, from -> to, message | [row of the protocol's table] => its next stage; what else it changed.",
    "Ranges are gfns, at guest_memfd indices; op is request.attempt. A unit of work takes 1 us, a link 0.2 us.",
)


class Played(NamedTuple):
    """`failures` are (phase, consumer, reason) of attempts that failed, `pending` what is under way at the end."""

    text: str
    rows: frozenset[Row]
    failures: frozenset[tuple[str, str, Reason]]
    reason: Reason | None
    found: frozenset[str]
    pending: frozenset[str]


@functools.cache
def played(protocol: str, name: str) -> Played:
    """The whole file: what it is about, a line for each message, and what is left."""
    world = world_of(protocol, SITUATIONS[name])
    before, scribe, known = Remains(world), Scribe(world), len(world.notebook.facts)
    lines = scribe.run()
    facts = [fact for _, fact in world.notebook.facts[known:] if isinstance(fact, Failed)]
    about = [SITUATIONS[name].about, "", STORIES[protocol][name].story, "", *LEGEND]
    return Played(
        page(about, lines, before.told()),
        frozenset(scribe.rows),
        frozenset((fact.phase, fact.consumer, fact.reason) for fact in facts),
        before.reason,
        frozenset(before.fired),
        frozenset(world.pending()),
    )


def page(about: list[str], lines: str, left: list[str]) -> str:
    """A transcript's file."""
    head = "\n".join(comment(text) for text in about)
    return f"{head}\n\n{lines}\n" + "\n".join(map(comment, left)) + "\n"


def comment(text: str) -> str:
    """Behind a #, on as many lines as it takes."""
    return "\n".join(f"# {line}" for line in textwrap.wrap(text, 116)) or "#"
