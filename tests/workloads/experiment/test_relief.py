"""The limiting resource: whose own time fills its station, what it holds within taken off; or who had no room."""

import pytest

from tests.workloads.experiment.small import HEAD, Answers, summary
from tests.workloads.experiment.test_drive import swept
from workloads import scenario
from workloads.errors import UsageError
from workloads.experiment import decode
from workloads.experiment.drive import refuse_mistakes
from workloads.experiment.measures import kinds
from workloads.experiment.relief import control, limiting, pooled
from workloads.units import parse_duration


def used(**shares):
    return {name: {"utilisation": share, "mean_waiting": 0.0} for name, share in shares.items()}


def test_nested_locks_are_told_apart():
    chain = {"vmm": 0.9, "ilock": 0.85, "mmu_lock": 0.7}
    assert limiting(used(**chain, tdx_tree=0.1), late=True, failing=False) == "mmu_lock"
    assert limiting(used(**chain, tdx_tree=0.5), late=True, failing=False) == "tdx_tree"
    assert (
        limiting(used(**chain, tdx_tree=0.5, iommu_queue=0.6), late=True, failing=False)
        == "iommu_queue"
    )


def test_what_serves_nobody_limits_nobody():
    assert limiting(used(requests=1.0, allocator=0.9, vmm=0.2), late=True, failing=False) == "vmm"
    assert limiting({}, late=True, failing=False) == ""


def test_the_control_is_what_limits_least_of_what_can_be_relieved():
    found = used(vmm=0.9, ilock=0.85, mmu_lock=0.4, tdx_tree=0.1, iommu_queue=0.6)
    assert limiting(found, late=True, failing=False) == "iommu_queue"
    assert control(found, "iommu_queue", ["ilock", "mmu_lock", "tdx_tree"]) == "tdx_tree"
    assert control(found, "iommu_queue", ["iommu_queue", "vmm"]) == "vmm"
    assert control(found, "iommu_queue", ["iommu_queue", "tdx_aug"]) == "", "nobody came to it"


def test_runs_are_pooled_and_may_lack_any():
    runs = [{"resources": used(vmm=0.2)}, {"resources": used(vmm=0.4, ilock=0.1)}, {}]
    found = pooled(runs)
    assert round(found["vmm"]["utilisation"], 9) == 0.3
    assert found["ilock"]["utilisation"] == 0.1
    assert pooled([{}]) == {}


def test_where_no_time_is_missed_it_is_who_had_no_room():
    found = used(vmm=0.9) | {
        "allocator": {"utilisation": 1e-4, "refused": 5},
        "admission": {"refused": 2},
    }
    assert limiting(found, late=True, failing=False) == "vmm"
    assert limiting(found, late=False, failing=True) == "allocator"
    assert limiting(used(vmm=0.9, allocator=0.5), late=False, failing=True) == "", (
        "nobody refused anything"
    )


def test_who_had_nothing_to_do_limits_nobody():
    assert limiting(used(vmm=0.0, iommu_queue=0.0), late=True, failing=False) == ""


def test_a_share_that_explains_nothing_is_no_limit_though_it_is_the_largest():
    idle = used(vmm=0.009, iommu_queue=0.001)
    assert limiting(idle, late=True, failing=False) == ""
    hot = {
        "vmm": {"utilisation": 0.009, "utilisation_max": 0.9}
    }  # one VM of a hundred has all the load
    assert limiting(hot, late=True, failing=False) == "vmm"


def test_where_both_are_missed_who_refused_comes_before_who_is_busy():
    found = used(vmm=0.9) | {"allocator": {"utilisation": 0.5, "refused": 3}}
    assert limiting(found, late=True, failing=True) == "allocator"
    assert limiting(used(vmm=0.9), late=True, failing=True) == "vmm", "failures of another kind"


def test_what_is_missed_is_a_time_or_not():
    found = [summary(scenario.decode("", "test.toml"), 0.002)]
    assert kinds(["conversion.latency.p99"], found) == (True, False)
    assert kinds(["conversion.latency.p99", "conversion.failure_ratio"], found) == (True, True)
    nothing = [{**found[0], "latency_seconds": {"count": 0}}]
    assert kinds(["conversion.latency.p99"], nothing) == (False, True), "nothing ended"


# A host that bears so many VMs, by what it has of memory and what its queue costs.
ROOM = f"""{HEAD}
[search]
key = "fleet.vms_per_host"
name = "VMs"
high = 64
objective = "conversion.failure_ratio < 1% and conversion.latency.p99 < 1ms"
relieve = {{ allocator = {{ "fleet.spare_memory" = "2MiB" }}, iommu_queue = ["iotlb_invalidate"] }}

[base]
"fleet.spare_memory" = "1MiB"
"costs.override.iotlb_invalidate" = "2us"

[conclusion]
analysis = "capacity"
text = "{{answer}} by {{limits}}"
"""


def bearing(frames=10, served=40, refuser="allocator", share=0.9):
    """Summaries of a host with this many VMs' worth of memory in 1 MiB, and of time in a queue of 2 us."""

    def of(scenario):
        vms = scenario.fleet.vms_per_host
        short = vms > frames * scenario.fleet.spare_memory / (1 << 20)
        slow = vms > served * 2000 / parse_duration(scenario.costs.override["iotlb_invalidate"])
        resources = used(iommu_queue=share, vmm=share / 9) | {
            "allocator": {
                "utilisation": 0.01,
                "refused": 7 if short and refuser == "allocator" else 0,
            }
        }
        counts = {"completed": 9, "failed": int(short), "requested": 10}
        return summary(scenario, 0.002 if slow else 0.0005, resources, conversions=counts)

    return of


@pytest.mark.parametrize(
    ("host", "text", "verdict"),
    [
        (bearing(), "10 by allocator (1)", "valid"),
        (bearing(frames=60), "40 by iommu_queue (1)", "valid"),
        (bearing(refuser="somebody else"), "10 by unknown (1)", "unknown"),
        (bearing(frames=60, share=0.004), "40 by unknown (1)", "unknown"),
    ],
)
def test_a_limit_is_named_by_what_is_missed_and_borne_out_by_more_of_it(
    tmp_path, host, text, verdict
):
    found = swept(tmp_path, decode(ROOM, "room.toml"), Answers(host))
    assert (found["conclusion"]["text"], found["verdict"]) == (text, verdict), found["reasons"]


def test_what_brings_no_more_is_said_to_be_relieved_in_vain(tmp_path):
    found = swept(
        tmp_path, decode(ROOM.replace('"2MiB"', '"1MiB"'), "room.toml"), Answers(bearing())
    )
    assert found["conclusion"]["text"] == "10 by allocator, in vain relieved (1)"
    assert (found["verdict"], found["found"][0]["borne_out"]) == ("unknown", "no")
    assert found["reasons"] == ["the search: allocator, in vain relieved"]


def test_what_is_not_relieved_is_unchecked(tmp_path):
    only = ROOM.replace('allocator = { "fleet.spare_memory" = "2MiB" }, ', "")
    found = swept(tmp_path, decode(only, "room.toml"), Answers(bearing()))
    assert found["reasons"] == ["the search: allocator, unchecked"]
    assert found["verdict"] == "unknown"
    nothing = only.replace('relieve = { iommu_queue = ["iotlb_invalidate"] }', "")
    found = swept(tmp_path, decode(nothing, "room.toml"), Answers(bearing()))
    assert (found["conclusion"]["text"], found["verdict"]) == (
        "10 by allocator, unchecked (1)",
        "valid",
    )


def test_settings_that_relieve_are_looked_at_before_a_run():
    wrong = ROOM.replace('"2MiB"', '"2MiBs"')
    with pytest.raises(
        UsageError,
        match=r"room.toml: VMs 1, allocator relieved: fleet.spare_memory: found \"2MiBs\"",
    ):
        refuse_mistakes(decode(wrong, "room.toml"), 1)
