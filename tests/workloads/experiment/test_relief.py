"""The limiting resource: whose own time fills its station, what it holds within taken off."""

from workloads.experiment.relief import control, limiting, pooled


def used(**shares):
    return {name: {"utilisation": share, "mean_waiting": 0.0} for name, share in shares.items()}


def test_nested_locks_are_told_apart():
    chain = {"vmm": 0.9, "ilock": 0.85, "mmu_lock": 0.7}
    assert limiting(used(**chain, tdx_tree=0.1)) == "mmu_lock"
    assert limiting(used(**chain, tdx_tree=0.5)) == "tdx_tree"
    assert limiting(used(**chain, tdx_tree=0.5, iommu_queue=0.6)) == "iommu_queue"


def test_what_serves_nobody_limits_nobody():
    assert limiting(used(requests=1.0, allocator=0.9, vmm=0.2)) == "vmm"
    assert limiting({}) == ""


def test_the_control_is_what_limits_least_of_what_can_be_relieved():
    found = used(vmm=0.9, ilock=0.85, mmu_lock=0.4, tdx_tree=0.1, iommu_queue=0.6)
    assert limiting(found) == "iommu_queue"
    assert control(found, "iommu_queue", ["ilock", "mmu_lock", "tdx_tree"]) == "tdx_tree"
    assert control(found, "iommu_queue", ["iommu_queue", "vmm"]) == "vmm"
    assert control(found, "iommu_queue", ["iommu_queue", "tdx_aug"]) == "", "nobody came to it"


def test_runs_are_pooled_and_may_lack_any():
    runs = [{"resources": used(vmm=0.2)}, {"resources": used(vmm=0.4, ilock=0.1)}, {}]
    found = pooled(runs)
    assert round(found["vmm"]["utilisation"], 9) == 0.3
    assert found["ilock"]["utilisation"] == 0.1
    assert pooled([{}]) == {}
