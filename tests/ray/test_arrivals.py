"""A fleet to which VMs come, on real Ray workers."""

import pytest

from tests.determinism.test_arrivals import FLEET
from tests.runs import simulated

pytestmark = [pytest.mark.ray, pytest.mark.timeout(180)]


@pytest.mark.parametrize("placement", ["packed", "kind"])
def test_vms_arrive_alike_on_two_partitions(placement):
    local = simulated(*FLEET)
    on_ray = ("engine.executor=ray", "engine.partitions=2", f"engine.placement={placement}")
    outcome = simulated(*FLEET, *on_ray)
    assert (outcome.digest, outcome.census) == (local.digest, local.census)
    assert outcome.partitions == 2 and outcome.totals.cross_messages > 0
