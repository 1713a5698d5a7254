"""The guard in tests/conftest.py: a unit test can import Ray and can never start it."""

import sys

import pytest


def test_a_unit_test_cannot_start_ray():
    ray = pytest.importorskip("ray")
    with pytest.raises(RuntimeError, match="a unit test starts Ray"):
        ray.init()


def test_the_guard_is_there_before_ray_is():
    assert "ray" in sys.modules or type(sys.meta_path[0]).__name__ == "Guard"
