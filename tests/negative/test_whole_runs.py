"""Shipped scenarios, shortened: valid as they are, and violated with a bug in the model that they are there to meet."""

from typing import NamedTuple

import pytest

from actors.kvm import fault as kvm_fault
from tests.negative import bugs
from tests.runs import simulated
from workloads import scenario
from workloads.outcome.summary import summarise


class Run(NamedTuple):
    """A scenario and what is otherwise in it."""

    source: str
    overrides: tuple[str, ...]


RACE = Run("fault-race", ("scenario.duration=15ms",))
LEAF = Run("second-leaf", ("scenario.duration=30ms",))
# Everything that two-phase admits with a cause has one.
STRUCK = Run(
    "quickstart",
    (
        "scenario.conversions=200",
        "fleet.hosts=2",
        "fleet.vms_per_host=4",
        "checks={}",
        'fault=[{point="tdx.remove_busy",probability=0.1},{point="iommu.timeout",probability=0.01},'
        '{point="iommu.map",probability=0.02}]',
    ),
)


def nothing(_, patch):
    """KVM installs what it looked up, whatever has happened since."""
    patch.setattr(kvm_fault, "outdated", lambda *_: False)


def the_range_alone(_, patch):
    """It looks at invalidations under way, and not whether one has ended."""
    patch.setattr(kvm_fault, "outdated", kvm_fault.frozen)


def the_sequence_alone(_, patch):
    """It looks at the sequence alone, which moves at the end."""
    patch.setattr(kvm_fault, "outdated", lambda kvm, fault: fault.sequence != kvm.sequence)


CASES = [
    (RACE, nothing, "I2 I17"),
    (RACE, the_range_alone, "I17"),
    (RACE, the_sequence_alone, "I2 I17"),
    (LEAF, bugs.leave_blocked, "I11 I13 L4"),
    (LEAF, bugs.answer_with_the_start, "L7"),
    (LEAF, bugs.keep_what_prepare_reserved, "I20"),
    (STRUCK, bugs.try_once, "I12 I16"),
    (STRUCK, bugs.give_up_at_once, "I12"),
    (STRUCK, bugs.forget_the_devices, "I21"),
]


def summary(run):
    """Of the run."""
    found = scenario.load(*run)
    return summarise(found, simulated(*run.overrides, source=run.source))


@pytest.mark.parametrize(("run", "plant", "ids"), CASES)
def test_a_bug_makes_the_run_violated(run, plant, ids, monkeypatch):
    plant(None, monkeypatch)
    found = summary(run)
    assert found["verdict"] == "violated"
    assert set(ids.split()) <= found["invariant_violations"].keys()


def valid(run):
    """Its summary; what is admitted may have happened, and nothing else."""
    found = summary(run)
    assert (found["verdict"], found["invariant_violations"]) == ("valid", {})
    return found


def test_faults_whose_pages_are_converted_meanwhile_start_anew():
    found = valid(RACE)
    assert (found["page_faults_retried"] > 30, found["anomalies"]) == (True, {})
    assert [row["ok"] for row in found["checks"]] == [True]


def test_the_second_leaf_refuses_and_the_first_stays_split():
    found = valid(LEAF)
    assert found["failures"].keys() == {"EINTR"} and found["anomalies"].keys() == {"AN15"}


def test_what_has_a_cause_is_a_count():
    assert valid(STRUCK)["anomalies"].keys() >= {"AN18", "AN24", "AN28"}
