"""What shipped experiments lean on; that each has its answer is a nightly test of the command line's."""

import msgspec
import pytest

from workloads.options import unit
from workloads.scenario import decode


@pytest.mark.parametrize(("given", "own"), [("vm", {}), ("host", msgspec.UNSET)])
def test_a_queue_for_each_vm_is_one_key(given, own):
    found = unit(decode("", "test.toml", [f"fleet.iommu_queues={given}"]), 0)
    assert found.own == own
