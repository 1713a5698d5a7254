"""Scenarios: what is read, what `--set` changes, what is written and explained."""

import msgspec
import pytest

from workloads.scenario import (
    Boot,
    Churn,
    Costs,
    Fault,
    General,
    Scenario,
    Trace,
    decode,
    explain,
    load,
    to_toml,
)

POINTS = ("tdx.bug", "tdx.busy")


def quick(text="", *overrides):
    return decode(text, "quick.toml", overrides, POINTS)


# ---- what is read


def test_an_empty_file_is_every_default_and_the_files_name():
    assert quick() == Scenario(scenario=General(name="quick"))


def test_quantities_are_integers_of_nanoseconds_and_bytes():
    scenario = quick('[scenario]\nduration = "1.5ms"\n[vm]\nmemory = "4MiB"')
    assert (scenario.scenario.duration, scenario.vm.memory) == (1_500_000, 4 << 20)


def test_workloads_are_told_apart_by_kind():
    scenario = quick('[[workload]]\nkind = "trace"\nlog = ["a.log"]\n[[workload]]\nthink = "1us"')
    assert scenario.workload == (Trace(log=("a.log",)), Churn(think=1000))


def test_a_faults_window_is_from_and_until():
    scenario = quick('[[fault]]\npoint = "tdx.bug"\nfrom = "1us"\nuntil = "2us"\nhosts = [0, 3]')
    assert scenario.fault == (Fault(point="tdx.bug", start_ns=1000, until_ns=2000, hosts=(0, 3)),)


def test_a_fault_has_schedule_range_duration_and_class():
    text = 'nth = [3, 1]\nlasts = "5ms"\nrange = ["4MiB", "6MiB"]\nreason = "busy"'
    (fault,) = quick(f'[[fault]]\npoint = "tdx.bug"\n{text}').fault
    assert (fault.nth, fault.lasts, fault.reason) == ((3, 1), 5_000_000, "busy")
    assert fault.memory == (4 << 20, 6 << 20)


def test_a_list_of_numbers_with_one_in_it_needs_no_brackets():
    (fault,) = quick('[[fault]]\npoint = "tdx.bug"\nnth = 3\nvms = 7\nhosts = 0').fault
    assert (fault.nth, fault.vms, fault.hosts) == ((3,), (7,), (0,))


def test_how_far_a_range_may_go_is_for_a_trace_to_say():
    text = "[[workload]]\nkind = 'trace'\nlog = ['a.log']\n[[fault]]\npoint = 'tdx.bug'\n"
    assert quick(f"{text}range = ['0B', '1TiB']").fault[0].memory == (0, 1 << 40)


def test_fault_points_are_not_judged_where_none_are_known():
    assert decode('[[fault]]\npoint = "x.y"', "a.toml").fault == (Fault(point="x.y"),)


def test_a_default_gives_way_to_the_key_that_bounds_it():
    scenario = quick("[vm]\nvcpus = 2\n[[workload]]\nsize_max = '8KiB'")
    assert (scenario.vm.busy_vcpus, scenario.workload) == (
        2,
        (Churn(size_mean=8192, size_max=8192),),
    )


def test_free_tables_take_dotted_names_with_and_without_quotes():
    scenario = quick('[checks]\nconversion.latency.p99 = "< 5ms"\n[costs.override]\n"a.b" = 0.5')
    assert scenario.checks == {"conversion.latency.p99": "< 5ms"}
    assert scenario.costs == Costs(override={"a.b": 0.5})


@pytest.mark.parametrize("text", ["\ufeff[fleet]\nhosts = 2\n", "[fleet]\r\nhosts = 2\r\n"])
def test_files_as_windows_writes_them_are_read(tmp_path, text):
    (tmp_path / "w.toml").write_bytes(text.encode())
    assert load(str(tmp_path / "w.toml")).fleet.hosts == 2


@pytest.mark.parametrize(
    ("file", "name"), [("a b.toml", "a b"), ("..x?y.toml", "x_y"), ("", "scenario")]
)
def test_the_default_name_can_always_name_a_folder(file, name):
    assert decode("", file).scenario.name == name


# ---- --set


@pytest.mark.parametrize(
    ("overrides", "path", "value"),
    [
        (["fleet.hosts=64"], "fleet.hosts", 64),
        (["fleet.hosts = 64"], "fleet.hosts", 64),
        (["vmm.retry=spin"], "vmm.retry", "spin"),
        (["scenario.description=a = b # c"], "scenario.description", "a = b # c"),
        (["vm.memory=4MiB", 'vm.memory="2MiB"'], "vm.memory", 2 << 20),
        (["checks.conversion.latency.p99=< 5ms"], "checks", {"conversion.latency.p99": "< 5ms"}),
        (["costs.override.tdx.add=3us"], "costs.override", {"tdx.add": "3us"}),
        (["workload.0.kind=boot"], "workload", (Boot(),)),
        (["workload.0.share=0.5", "workload.1.share=1"], "workload", (Churn(share=0.5), Churn())),
        (["fault.0.point=tdx.bug"], "fault", (Fault(point="tdx.bug"),)),
        (["fault.0.point=tdx.bug", "fault.0.nth=3"], "fault", (Fault(point="tdx.bug", nth=(3,)),)),
        (
            ["fault.0.point=tdx.bug", 'fault.0.range=["0B","4KiB"]'],
            "fault",
            (Fault(point="tdx.bug", memory=(0, 4096)),),
        ),
        (
            ["fault.0.point=tdx.bug", "fault.0.hosts.0=1"],
            "fault",
            (Fault(point="tdx.bug", hosts=(1,)),),
        ),
    ],
)
def test_an_override_sets_its_key(overrides, path, value):
    found = quick("", *overrides)
    for part in path.split("."):
        found = getattr(found, part)
    assert found == value


def test_an_override_changes_the_fault_of_the_file():
    scenario = quick('[[fault]]\npoint = "tdx.bug"\nfrom = "1us"', "fault.0.probability=0.1")
    assert scenario.fault == (Fault(point="tdx.bug", start_ns=1000, probability=0.1),)


def test_a_scenario_travels_as_msgpack():
    scenario = quick("[[workload]]\nkind = 'boot'\n[[fault]]\npoint = 'tdx.bug'")
    packed = msgspec.msgpack.encode(scenario)
    assert msgspec.msgpack.decode(packed, type=Scenario) == scenario


def test_every_key_is_explained_with_value_default_unit_and_meaning():
    rows = explain(quick("[fleet]\nstagger = '2us'", "workload.0.kind=boot"))
    told = {row.key: row[1:3] for row in rows}
    assert told["fleet.stagger"] == ('"2us"', '"0ns"')
    assert told["workload.0.kind"] == ('"boot"', '"churn"')
    assert told["fault.0.probability"] == ("-", "1.0")
    assert all(all(row) for row in rows)


def test_every_key_that_is_written_is_explained():
    text = to_toml(quick())
    keys = {line.split(" = ")[0] for line in text.splitlines() if " = " in line}
    assert keys <= {row.key.rpartition(".")[2] for row in explain(quick())}
