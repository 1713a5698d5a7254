"""The reference page of faults says what the tables say, and its examples do what a rule must: strike."""

import tomllib
from pathlib import Path

import pytest

from cluster.fault_points import CLASSES, FAULT_POINTS, PHASES
from tests.runs import simulated
from workloads.faults_page import EXAMPLES, reference
from workloads.scenario import Fault, decode
from workloads.scenario.keys import entries

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "faults.md"
# Small, and with more than the third demote in every VM.
FLEET = ("fleet.hosts=1", "fleet.vms_per_host=8", "scenario.conversions=1200", "vm.memory=2GiB")


def test_the_page_in_the_tree_is_current():
    found = PAGE.read_text(encoding="utf-8")
    assert found == reference(), "run: python -m workloads.faults_page > docs/reference/faults.md"


def test_every_point_key_phase_and_class_has_its_row():
    page = reference()
    for name in (*FAULT_POINTS, *entries(Fault), *CLASSES):
        assert f"\n| `{name}` | " in page
    assert all(f"\n| {phase} | " in page for phase in PHASES)


def test_the_examples_use_every_key():
    used = {key for example in EXAMPLES for key in tomllib.loads(example.rule)}
    assert used == set(entries(Fault))


@pytest.fixture(scope="module")
def untouched():
    """The digest of a run in which nothing is injected."""
    return simulated(*FLEET).digest


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.title)
def test_an_example_can_be_run_and_strikes(example, untouched):
    text = f"[[fault]]\n{example.rule}"
    assert decode(text, "example.toml", FLEET, FAULT_POINTS).fault
    struck = simulated(*FLEET, text=text)
    assert struck.digest != untouched
    assert not struck.watched[0]["inspector"]["open"].get("L1")
