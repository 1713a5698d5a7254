"""A protocol that nobody has heard of: a table, and nothing else, is all that it takes to run, judge and compare it."""

import json

import pytest
from click.testing import CliRunner

from actors.contract import Consumer, Reason, Trace
from actors.observations import HostPte, LeftMapped
from actors.protocols import Event as E
from actors.protocols import Row, Table
from actors.protocols import Stage as S
from cluster.label_sets import Run
from cluster.metrics import FAMILIES
from tests.helpers import PRIVATE, SHARED, World, plan_of
from tests.runs import simulated
from tests.toy_protocols import registered
from workloads import scenario
from workloads.catalogue import show_kind
from workloads.cli import cli
from workloads.errors import UsageError

# As the failable notifier, but own memory comes first and KVM last; on an error whoever has unmapped maps again.
IN_TURN = (Consumer.IOMMU, Consumer.PINS, Consumer.HOST_MAP, Consumer.KVM_MMU)
# fmt: off
KVM_LAST = Table("kvm-last", "whose pages cannot come back is asked last", (
    Row(S.WAITING,      E.LOCKED,          "reserve",         S.RESERVING,    "1: own memory"),
    Row(S.WAITING,      E.NOTHING_TO_DO,   "reply_redundant", S.REPLIED,      "1: range has the state"),
    Row(S.WAITING,      E.NOT_POSSIBLE,    "reply",           S.REPLIED,      "1: gone"),
    Row(S.RESERVING,    E.NO_MEMORY,       "reply",           S.REPLIED,      "1: ENOMEM"),
    Row(S.RESERVING,    E.RESERVED,        "freeze",          S.FREEZING,     "2: faults wait"),
    Row(S.FREEZING,     E.FROZEN,          "invalidate",      S.INVALIDATING, "3: the first consumer", IN_TURN),
    Row(S.INVALIDATING, E.INVALIDATED,     "invalidate_next", S.INVALIDATING, "3: the next one"),
    Row(S.INVALIDATING, E.REFUSED,         "remap",           S.REMAPPING,    "4: whoever has unmapped maps again"),
    Row(S.REMAPPING,    E.REMAPPED,        "remap_next",      S.REMAPPING,    "4: in reverse order"),
    Row(S.REMAPPING,    E.ALL_REMAPPED,    "thaw",            S.THAWING,      "4: faults go on"),
    Row(S.INVALIDATING, E.ALL_INVALIDATED, "complete_thaw",   S.THAWING,      "5: store, restructure, thaw"),
    Row(S.THAWING,      E.THAWED,          "reply",           S.REPLIED,      "6: answer"),
))
# fmt: on
NAME = f"protocol.name={KVM_LAST.name}"
FLEET = (NAME, "scenario.conversions=200", "fleet.hosts=2", "fleet.vms_per_host=2")
TROUBLE = (
    'fault=[{point="pins.long",probability=0.05},{point="tdx.busy",probability=0.02},'
    '{point="kvm.split_memory",probability=0.05},{point="gmem.tree",probability=0.05}]',
)
WORDS = [word for text in (*FLEET, *TROUBLE) for word in ("--set", text)]


@pytest.fixture(autouse=True)
def toy():
    with registered(KVM_LAST):
        yield
    plan_of.cache_clear()


# --- the scenario --------------------------------------------------------------------------------


def test_a_scenario_can_name_it():
    assert scenario.decode("", "test.toml", [NAME]).protocol.name == KVM_LAST.name


def test_who_mistypes_it_is_told_its_name():
    with pytest.raises(UsageError, match=r'found "kvm-lats", expected .*nearest: "kvm-last"'):
        scenario.decode("", "test.toml", ["protocol.name=kvm-lats"])


def test_show_and_list_tell_of_it():
    (row,) = [
        row
        for row in scenario.explain(scenario.decode("", "test.toml", [NAME]))
        if row.key == "protocol.name"
    ]
    assert KVM_LAST.name in row.unit
    shown = " ".join(show_kind("protocols", as_json=False).split())
    assert KVM_LAST.meaning in shown


# --- a host --------------------------------------------------------------------------------------


def shared_world():
    world = World(NAME)
    world.ask(0x10, 0x14, SHARED, use=True)
    world.run()
    assert world.tasks == [(1, Reason.NONE)]
    return world


def test_it_converts_there_and_back():
    world = shared_world()
    assert world.convert(0x10, 0x14, PRIVATE) is Reason.NONE
    assert world.gmem().share.only(0, 0x800, PRIVATE)
    assert (world.pending(), world.found) == ({}, set())


def test_its_refusals_are_as_its_table_has_them():
    world = shared_world()
    world.hold(0x12, 0x13)
    before = world.maps()
    assert world.convert(0x10, 0x14, PRIVATE) is Reason.REFERENCES
    # The IOMMU driver, which was first, has mapped again; the host's page tables were not yet told.
    assert world.maps()["iommu"] == before["iommu"] and world.maps()["ptes"] == before["ptes"]
    assert not [fact for fact in world.of(HostPte) if not fact.present]
    assert world.found == set()


def test_a_page_that_cannot_be_unmapped_is_not_told_to_who_would_not_hear_it():
    world = World(NAME)
    world.inject("tdx.bug")
    assert world.convert(0x10, 0x14, SHARED) is Reason.BUG
    assert {fact.trace for fact in world.of(LeftMapped)} == {Trace.NONE}


def test_what_can_fail_is_read_off_its_table():
    sets = FAMILIES["gmemsim_conversion_failures_total"].sets(Run(KVM_LAST.name, 1, (), ()))
    assert {labels[1:3] for labels in sets} == {
        ("reserving", "gmem"),
        *(("invalidating", who) for who in ("kvm_mmu", "pins", "iommu")),
        ("map", "iommu"),
        ("map_again", "iommu"),
    }


# --- runs ----------------------------------------------------------------------------------------


def test_a_fleet_runs_under_it_and_the_same_way_each_time():
    first, second = (simulated(*FLEET, *TROUBLE) for _ in range(2))
    assert first.finished and first.digest == second.digest
    assert first.digest != simulated(*FLEET[1:], *TROUBLE).digest


def invoke(tmp_path, *words):
    done = CliRunner().invoke(cli, [*words, "--results", str(tmp_path), "--json"])
    assert not done.exception or isinstance(done.exception, SystemExit), done.output
    return done


def test_a_run_leaves_results(tmp_path):
    done = invoke(tmp_path, "run", "hot-range", *WORDS)
    summary = json.loads(done.stdout)
    assert summary["protocol"] == KVM_LAST.name
    assert summary["conversions"]["completed"] > 100
    assert summary["failures"]["ENOMEM"] > 0
    metrics = next(tmp_path.glob("*/latest/metrics.prom")).read_text()
    assert f'{{consumer="pins",phase="invalidating",protocol="{KVM_LAST.name}"' in ordered(metrics)


def ordered(metrics):
    """Label sets by label name, whatever order they are written in."""
    lines = []
    for line in metrics.splitlines():
        name, brace, rest = line.partition("{")
        labels, _, value = rest.partition("}")
        lines.append(f"{name}{brace}{','.join(sorted(labels.split(',')))}}}{value}")
    return "\n".join(lines)


def test_nobody_admits_what_it_breaks(tmp_path):
    done = invoke(tmp_path, "run", "hot-range", *WORDS)
    summary = json.loads(done.stdout)
    broken = {**summary["anomalies"], **summary["invariant_violations"]}
    assert (done.exit_code == 1) == bool(broken) == (summary["verdict"] == "violated")


def test_it_can_be_compared(tmp_path):
    words = [word for text in (*FLEET[1:], *TROUBLE) for word in ("--set", text)]
    names = ("--protocol", f"two-phase,{KVM_LAST.name}")
    record = json.loads(invoke(tmp_path, "compare", "hot-range", *names, *words).stdout)
    assert list(record["protocols"]) == ["two-phase", KVM_LAST.name]
    completed = {name: s["conversions"]["completed"] for name, s in record["protocols"].items()}
    assert all(count > 100 for count in completed.values())
