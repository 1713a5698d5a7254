"""A fleet in which VMs move, on real Ray workers."""

import pytest

from tests.determinism.test_moves import EVACUATED
from tests.runs import simulated

pytestmark = [pytest.mark.ray, pytest.mark.timeout(180)]


def test_vms_move_alike_on_two_partitions():
    local = simulated(*EVACUATED)
    outcome = simulated(*EVACUATED, "engine.executor=ray", "engine.partitions=2")
    assert (outcome.digest, outcome.census) == (local.digest, local.census)
    assert outcome.partitions == 2 and outcome.totals.cross_messages > 0
