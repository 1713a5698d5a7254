"""What a run's folder would have of timelines, without the folder."""

from cluster.run import Outcome
from workloads.outcome.files import STORIES
from workloads.outcome.tally import tally
from workloads.outcome.timelines import recorded, stories
from workloads.outcome.trace_events import text_of

TIMELINES = ('metrics.timelines=["0/1","3/0"]',)


def files_of(outcome: Outcome) -> dict[str, str]:
    """Name -> text."""
    seen = tally(outcome.watched, "two-phase")
    files = {name: text_of([found]) for name, found in recorded(outcome.watched, seen)}
    return files | {STORIES: text_of(stories(outcome.watched, seen, True))}
