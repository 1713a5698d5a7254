"""L12: Little's law at every queue of a run, and slips that it finds."""

import pytest

from cluster.run import Outcome
from tests.negative.little_cases import ARRIVE, BOOT, CASES, CHURN, KILLS
from tests.runs import READMITS, SMALL, Silent, simulated
from workloads import queues
from workloads.outcome import little


def breaches(outcome: Outcome) -> list[str]:
    sums = queues.joined(word["queues"] for word in outcome.watched)
    return little.breaches(sums, outcome.census)


def resources(outcome: Outcome):
    return little.resources(queues.joined(word["queues"] for word in outcome.watched))


@pytest.mark.parametrize("keys", [CHURN, BOOT, KILLS, ARRIVE, (*SMALL, *READMITS)])
def test_it_holds_at_every_queue_of_a_run(keys):
    outcome = simulated(*keys)
    assert outcome.finished
    assert breaches(outcome) == []


def test_it_holds_at_every_queue_of_a_run_that_is_stopped():
    outcome = simulated(*SMALL, "engine.yield_after=20ms", listener=Silent(2))
    assert not outcome.finished
    assert any(n for key, n in outcome.census.items() if key.startswith("inside."))
    assert breaches(outcome) == []


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.bug.__name__)
def test_a_slip_breaks_it_at_its_queue(case, monkeypatch):
    case.bug(monkeypatch)
    # A checkpoint would be due after a second, and what is patched into a class cannot be written.
    found = breaches(simulated(*case.keys, "engine.checkpoint_interval=0s"))
    assert case.queue in {text.partition(":")[0] for text in found}
