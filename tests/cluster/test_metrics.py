"""The table of metric families, its closed label sets, and Readings."""

import re
from itertools import pairwise

import pytest

from actors.protocols import PROTOCOLS, Stage
from cluster.failures import failures_of
from cluster.histogram import BOOT_BOUNDS_NS, BOUNDS_NS, Histogram
from cluster.label_sets import REST, SETS_MAX, Labels, Run
from cluster.metrics import CLOCKS, FAMILIES, Bars, Readings

US, S = 1_000, 1_000_000_000
ABOUT = ("20261101T120000Z-1", "storm", "1", "two-phase", "local", "packed")
RUN = Run("two-phase", 2, ABOUT, ("0.1.0", "3.11"))
RETRIES = "gmemsim_retries_total"
LATENCY = "gmemsim_conversion_latency_seconds"
COMPLETED = ("two-phase", "private_to_shared", "completed")
ENDINGS = {"counter": "_total", "info": "_info"}

every_family = pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
every_protocol = pytest.mark.parametrize("protocol", PROTOCOLS)


@every_family
def test_names_obey_the_rules(family):
    ending = ENDINGS.get(family.kind, "")
    assert re.fullmatch(r"gmemsim(_[a-z]+)+", family.name)
    assert family.name.endswith(ending)
    assert family.kind == "counter" or not family.name.endswith("_total")
    assert not re.search(r"_(bucket|sum|count|created)$", family.name)
    assert family.name.removesuffix(ending).endswith(family.unit)
    assert all(re.fullmatch("[a-z]+(_id|_group)?", label) for label in family.labels)
    assert not {"job", "instance", "le", "vm", "host", "page", "gfn"} & {*family.labels}


@every_family
def test_the_unit_is_the_base_unit_that_the_name_says(family):
    found = re.search(r"_(seconds|bytes)(_total)?$", family.name)
    assert family.unit == (found[1] if found else "")


@every_family
def test_help_says_what_and_by_which_clock(family):
    assert family.help.endswith(f". {CLOCKS[family.clock]}")
    assert "\n" not in family.help


def test_engine_counters_are_of_the_wall_clock_and_no_others():
    wall = {f.name for f in FAMILIES.values() if f.clock == "wall"}
    engine = {name for name in FAMILIES if name.startswith("gmemsim_engine_")}
    assert wall == engine - {"gmemsim_engine_simulated_seconds"}


@every_protocol
@every_family
def test_label_sets_are_few_and_distinct_and_fit_the_label_names(family, protocol):
    sets = list(family.sets(Run(protocol, 4096, ABOUT, ("0.1.0", "3.11"))))
    assert 1 <= len(sets) <= SETS_MAX
    assert len({*sets}) == len(sets)
    assert {len(labels) for labels in sets} == {len(family.labels)}


@pytest.mark.parametrize(
    ("bounds", "first", "last"), [(BOUNDS_NS, US, 500 * S), (BOOT_BOUNDS_NS, S, 2000 * S)]
)
def test_buckets_are_1_2_5(bounds, first, last):
    assert (bounds[0], bounds[-1]) == (first, last)
    assert {str(bound).rstrip("0") for bound in bounds} == {"1", "2", "5"}
    assert all(low < high <= low * 2.5 for low, high in pairwise(bounds))


@every_protocol
def test_failures_happen_in_stages_of_the_protocol_or_at_the_device_mapping(protocol):
    table = PROTOCOLS[protocol]
    rows = [*table.rows, *(row for variant in table.variants for row in variant.rows)]
    stages = {Stage(row.stage).name.lower() for row in rows}
    assert {phase for phase, _, _ in failures_of(protocol)} <= stages | {"map", "map_again"}


# --- readings ------------------------------------------------------------------------------------


def test_all_label_sets_exist_from_the_start_with_0():
    readings = Readings.of(RUN, {}, {})
    for name, family in FAMILIES.items():
        if family.kind == "histogram":
            zero = Bars((0,) * len(family.bounds), 0, 0.0)
            assert readings.bars[name] == dict.fromkeys(family.sets(RUN), zero)
        else:
            value = float(family.kind == "info")
            assert readings.values[name] == dict.fromkeys(family.sets(RUN), value)


def test_what_is_given_is_shown():
    histogram = Histogram()
    for value in (900, 1_000, 3_000_000, 600 * S):
        histogram.add(value)
    readings = Readings.of(RUN, {RETRIES: {(): 7}}, {LATENCY: {COMPLETED: histogram}})
    bars = readings.bars[LATENCY][COMPLETED]
    assert readings.values[RETRIES] == {(): 7}
    assert bars.below == tuple(2 if bound < 5_000_000 else 3 for bound in BOUNDS_NS)
    assert bars.number == 4
    assert bars.seconds == pytest.approx(600.0030019)


@pytest.mark.parametrize(
    "labels",
    [
        ("two-phase", "committing", "kvm_mmu", "ENOMEM"),
        ("two-phase", "aborting", "pins", "EAGAIN"),
        ("undo", "reserving", "gmem", "ENOMEM"),
    ],
)
def test_a_failure_that_the_domain_does_not_allow_is_a_bug(labels):
    with pytest.raises(AssertionError, match="conversion_failures_total: outside its closed"):
        Readings.of(RUN, {"gmemsim_conversion_failures_total": {labels: 1}}, {})


@pytest.mark.parametrize("values", [{"gmemsim_retrys_total": {(): 1}}, {LATENCY: {COMPLETED: 1}}])
def test_a_family_that_does_not_exist_or_holds_other_things_is_a_bug(values):
    with pytest.raises(AssertionError):
        Readings.of(RUN, values, {})


def test_a_snapshot_does_not_change_when_its_sources_do():
    given: dict[Labels, float] = {(): 1.0}
    histogram = Histogram()
    readings = Readings.of(RUN, {RETRIES: given}, {LATENCY: {COMPLETED: histogram}})
    given[()] = 2.0
    histogram.add(1)
    assert readings.values[RETRIES][()] == 1.0
    assert readings.bars[LATENCY][COMPLETED].number == 0


def test_a_snapshot_cannot_be_written_to():
    readings = Readings.of(RUN, {}, {})
    with pytest.raises(TypeError):
        readings.values[RETRIES][()] = 1.0  # type: ignore[index]


def test_partitions_beyond_the_first_99_share_a_label():
    family = FAMILIES["gmemsim_engine_partition_busy_seconds_total"]
    few, many = (
        [labels[0] for labels in family.sets(RUN._replace(partitions=count))] for count in (3, 4096)
    )
    assert few == ["0", "1", "2"]
    assert (len(many), many[-2:]) == (SETS_MAX, ["98", REST])
