"""Whole runs of fault-race: KVM's look at sequence and range under mmu_lock is what keeps two-phase valid there."""

import pytest

from actors import kvm_fault
from tests.runs import simulated
from workloads import scenario
from workloads.outcome.summary import summarise

BRIEF = ("scenario.duration=15ms",)
# What is left of the look, and what finds that a part is missing.
MUTANTS = {
    "nothing": (lambda kvm, fault: False, {"I17", "I2"}),
    "the range": (kvm_fault.frozen, {"I17"}),
    "the sequence": (lambda kvm, fault: fault.sequence != kvm.sequence, {"I17", "I2"}),
}


def summary():
    """Of the shipped scenario, shortened."""
    found = scenario.load("fault-race", BRIEF)
    return summarise(found, simulated(*BRIEF, source="fault-race"))


def test_faults_that_meet_their_pages_invalidation_start_anew_and_nothing_comes_of_it():
    found = summary()
    assert (found["verdict"], found["anomalies"], found["invariant_violations"]) == (
        "valid",
        {},
        {},
    )
    assert found["page_faults_retried"] > 30
    assert [row["ok"] for row in found["checks"]] == [True]


@pytest.mark.parametrize("left", MUTANTS)
def test_without_the_look_the_run_is_violated(left, monkeypatch):
    look, ids = MUTANTS[left]
    monkeypatch.setattr(kvm_fault, "outdated", look)
    found = summary()
    assert found["verdict"] == "violated"
    assert ids <= found["invariant_violations"].keys()
