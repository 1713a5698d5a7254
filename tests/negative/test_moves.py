"""Every check of VMs that move finds the bug it is there for, and nothing in the same fleet without that bug."""

import pytest

from tests.fleets import Fleet
from tests.negative.move_cases import CASES


def played(overrides):
    fleet = Fleet(*overrides)
    fleet.run()
    return fleet.found


@pytest.mark.parametrize(
    ("ids", "plant", "overrides"),
    CASES,
    ids=[f"{ids}: {plant.__name__}" for ids, plant, _ in CASES],
)
def test_a_planted_bug_is_found(ids, plant, overrides, monkeypatch):
    plant(monkeypatch)
    assert set(ids.split()) <= played(overrides)


@pytest.mark.parametrize("overrides", sorted({overrides for *_, overrides in CASES}))
def test_without_a_bug_the_same_fleet_is_clean(overrides):
    assert played(overrides) == set()
