"""The cost models as data: every cost has its unit and source, and what is published adds up."""

import re
import tomllib
from decimal import Decimal
from pathlib import Path

import pytest

COSTS = Path(__file__).resolve().parents[2] / "workloads" / "costs"
MODELS = {path.stem: tomllib.loads(path.read_text()) for path in sorted(COSTS.glob("*.toml"))}
TDX = MODELS["tdx-2026"]

PICOSECONDS = {"ps": 1, "ns": 10**3, "us": 10**6, "ms": 10**9, "s": 10**12}
PICOSECONDS |= {"min": 60 * 10**12, "h": 3600 * 10**12}
DISTRIBUTIONS = {
    "constant": set(),
    "lognormal": {"sigma"},
    "uniform": {"low", "high"},
    "exponential": set(),
    "bernoulli": {"probability"},
}
DESCRIBED = {"value", "distribution", "per", "source", "meaning", "assumed", "range"}

# Every latency of docs/domain.md section 7, and the floors and holds of sections 14 and 16.
NAMES_TEXT = """
td_exit_roundtrip aug_4k accept_4k aug_accept_4k_storm aug_serial_4k aug_2m accept_2m
vp_enter_zero_step memory_fault_exit vcpu_preempted boot_fixed block track remove_4k wbinvd_4k clear_4k
mmu_walk shared_zap_4k walk_absent_4k kick_slope tick_slope unblock demote_2m pamt_add_pair
pamt_remove_pair sept_add sept_rd page_release_4k remove_2m
flush_2m reclaim_4k reclaim_2m hkid_reclaim ept_split_2m clear_2m tlb_flush_fixed
tlb_flush_per_vcpu lru_drain_fixed lru_drain_per_cpu host_unmap_4k host_unmap_flush
host_refault shared_refault tree_reserve tree_store page_alloc folio_truncate folio_split_2m folio_split_1g
folio_merge_2m folio_merge_1g folio_split_1g_2m folio_merge_1g_2m convert_ioctl vmm_overhead
vfio_map_4k vfio_unmap_4k vfio_map_2m
vfio_unmap_2m vfio_ioctl side_discard_4k iotlb_invalidate iotlb_outlier iommu_hang
transient_ref long_pin stray_ref link kick_link network transfer_page
"""
NAMES = set(NAMES_TEXT.split())


def duration(text: str) -> int:
    """Picoseconds, exactly; a value that is no whole number of them is a mistake."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(ps|ns|us|ms|s|min|h)", text)
    assert match, f"{text!r} is no duration"
    value = Decimal(match[1]) * PICOSECONDS[match[2]]
    assert value == int(value) > 0, f"{text!r} is no positive number of picoseconds"
    return int(value)


def mean(name: str) -> int:
    return duration(TDX["cost"][name]["value"])


def entries(*kinds: str):
    return [
        pytest.param(model, entry, id=f"{stem}-{name}")
        for stem, model in MODELS.items()
        for kind in kinds
        for name, entry in model[kind].items()
    ]


def test_durations_are_exact_and_mistakes_are_seen():
    assert duration("3.85us") == 3_850_000
    assert duration("67ns") == 67_000
    for wrong in ("3", "3 us", "0us", "-1us", "0.1ps", "3us "):
        with pytest.raises(AssertionError):
            duration(wrong)


@pytest.mark.parametrize("stem", MODELS)
def test_a_model_says_what_it_is(stem):
    model = MODELS[stem]["model"]
    assert model["name"] == stem
    assert model["version"] and model["description"]


def test_the_model_has_every_cost_by_name():
    assert set(TDX["cost"]) == NAMES


@pytest.mark.parametrize(("model", "entry"), entries("cost"))
def test_a_cost_is_a_duration_with_a_known_distribution(model, entry):
    wanted = DISTRIBUTIONS[entry["distribution"]]
    assert duration(entry["value"])
    assert set(entry) - DESCRIBED == wanted


@pytest.mark.parametrize(("model", "entry"), entries("cost", "parameter"))
def test_an_entry_has_a_unit_a_source_and_a_meaning(model, entry):
    assert entry.get("per") or entry.get("unit")
    assert entry["source"] in model["sources"]
    assert entry["meaning"] and "\n" not in entry["meaning"]


@pytest.mark.parametrize(("model", "entry"), entries("cost"))
def test_an_assumed_cost_lies_in_its_range_and_no_other_has_one(model, entry):
    assert entry.get("assumed", False) == ("range" in entry)
    if "range" in entry:
        low, high = entry["range"]
        assert duration(low) <= duration(entry["value"]) <= duration(high)
        assert duration(low) < duration(high)


@pytest.mark.parametrize(("model", "entry"), entries("parameter"))
def test_an_assumed_parameter_lies_in_its_range(model, entry):
    assert entry.get("assumed", False) == ("range" in entry)
    if "range" in entry:
        low, high = entry["range"]
        assert low <= entry["value"] <= high


@pytest.mark.parametrize(("model", "entry"), entries("cost"))
def test_what_was_chosen_here_is_marked_as_assumed(model, entry):
    assert entry.get("assumed", False) or entry["source"] not in {"OWN", "FIT"}


def test_a_uniform_cost_has_the_mean_it_states():
    uniform = [c for c in TDX["cost"].values() if c["distribution"] == "uniform"]
    assert uniform
    for cost in uniform:
        assert duration(cost["low"]) + duration(cost["high"]) == 2 * duration(cost["value"])


def test_every_cost_is_charged_somewhere():
    code = "".join(
        path.read_text()
        for room in ("actors", "cluster", "workloads")
        for path in Path(room).rglob("*.py")
    )
    assert [name for name in TDX["cost"] if not re.search(rf'"{name}"', code)] == []


def test_every_source_is_used():
    kinds = ("cost", "parameter", "reference")
    used = {entry["source"] for kind in kinds for entry in TDX[kind].values()}
    assert used == set(TDX["sources"])


class TestPublishedTotals:
    """The parts are assumed, their sums are not."""

    @staticmethod
    def published(name: str) -> int:
        return duration(TDX["reference"][name]["value"])

    def test_a_page_to_shared_with_idle_vcpus(self):
        parts = ("block", "track", "remove_4k", "wbinvd_4k", "clear_4k", "mmu_walk")
        assert sum(map(mean, parts)) == self.published("p2s_4k_idle") == 23_000_000

    def test_a_private_fault_with_accept(self):
        assert mean("aug_4k") + mean("accept_4k") == self.published("aug_accept_4k") == 8_000_000

    def test_kicks_make_up_the_difference_of_248_spinning_vcpus(self):
        difference = self.published("p2s_4k_spin_248") - self.published("p2s_4k_idle")
        assert abs(247 * mean("kick_slope") - difference) < difference // 1000

    def test_ticks_make_up_the_difference_to_248_ticking_vcpus(self):
        total = self.published("p2s_4k_idle") + 247 * (mean("kick_slope") + mean("tick_slope"))
        assert abs(total - self.published("p2s_4k_tick_248")) < total // 50
