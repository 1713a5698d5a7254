"""The shipped experiments as they are: what their pages conclude still holds."""

import subprocess
import sys

import msgspec
import pytest

from workloads.options import unit
from workloads.scenario import decode


@pytest.mark.nightly
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", ["kicks", "iommu-contention", "busy-zero-step"])
def test_its_checks_hold(name, tmp_path):
    command = [sys.executable, "-m", "workloads", "sweep", name, "--executor", "local", "--quiet"]
    done = subprocess.run([*command, "--results", tmp_path], check=False)
    assert done.returncode == 0


@pytest.mark.parametrize(("given", "own"), [("vm", {}), ("host", msgspec.UNSET)])
def test_a_queue_for_each_vm_is_one_key(given, own):
    found = unit(decode("", "test.toml", [f"fleet.iommu_queues={given}"]), 0)
    assert found.own == own
