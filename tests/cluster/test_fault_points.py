"""The table of fault points against the actors that ask and the page that names their registry."""

import re
from pathlib import Path

import pytest

from actors.contract import ERRNO, Reason
from actors.kvm.walk import REASONS
from actors.tdx import verdict as tdx_verdict
from cluster.fault_points import CLASSES, FAULT_POINTS, PHASES, WORDS

ROOT = Path(__file__).parents[2]
FAILURES = [Reason(number) for number in range(1, 7)]  # F1 to F6


def texts():
    """Every text of the form actor.what in an actor's source."""
    sources = "".join(path.read_text() for path in (ROOT / "actors").rglob("*.py"))
    return {*re.findall(r'"([a-z]+\.[a-z_]+)"', sources)}


def registry():
    """First column of docs/domain.md section 12."""
    text = (ROOT / "docs" / "domain.md").read_text().partition("\n## 12.")[2].partition("\n## ")[0]
    return {*re.findall(r"FI-[a-z]+", text)}


def test_every_point_stands_in_some_actor():
    assert set(FAULT_POINTS) <= texts()


@pytest.mark.parametrize("point", FAULT_POINTS.values(), ids=str)
def test_a_point_says_where_it_lies_and_what_can_be_met_there(point):
    assert point.phases and {*point.phases} <= set(PHASES)
    assert {*point.classes} <= {*FAILURES}
    assert {*point.registry} <= registry()
    assert point.meaning and point.reason is (*point.classes, Reason.DEAD)[0]


def test_only_a_kill_is_no_failure_of_a_call():
    assert [name for name, point in FAULT_POINTS.items() if not point.classes] == ["vmm.kill"]


def test_there_is_a_word_for_every_class_of_failure():
    assert list(CLASSES.values()) == FAILURES
    assert {reason: CLASSES[word] for reason, word in WORDS.items()} == {r: r for r in FAILURES}
    assert {*FAILURES} <= set(ERRNO)


def test_kvm_gets_every_class_back_from_the_modules_status():
    assert {reason: REASONS[status] for reason, status in tdx_verdict.STATUS.items()} == {
        reason: reason for reason in FAILURES
    }
