"""summary.json: its layout, its arithmetic, and the verdict with its reasons."""

import json

import msgspec
import pytest

from actors import observations as o
from actors.address import vm_address
from actors.contract import Observation, Reason
from tests.workloads.small_runs import DIGEST, FAULTS, MS, decode, outcome, run, word
from workloads.meter import Meter
from workloads.outcome.shape import Summary
from workloads.outcome.summary import exit_status, summarise
from workloads.outcome.verdict import excluded
from workloads.trace.spool import read_logs

VM = vm_address(0, 3)
ADMITTED = [2 * MS, "AN15", VM, 41, "1 mappings of 2 MiB stay split after a refusal"]
EXCLUDED = [2 * MS, "AN3", VM, 41, "gfn 0x10..0x20 was MAPPED and is BLOCKED"]
BROKEN = [MS, "I4", VM, -1, "freed memory is still in the IOMMU"]
EMPTY = {"count": 0, **dict.fromkeys(("mean", "p50", "p90", "p99", "p999", "max"))}


def judged(*words, checks=(), finished=True, **named):
    scenario = decode(f"checks={{{','.join(checks)}}}")
    summary = summarise(scenario, outcome(*words, finished=finished), **named)
    return summary["verdict"], summary["reasons"]


@pytest.mark.parametrize("overrides", [(), (FAULTS,), ('workload=[{kind="boot"}]',)])
def test_a_summary_has_its_layout_and_survives_json(overrides):
    summary = summarise(*run(*overrides))
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary
    assert msgspec.convert(summary, Summary).keys() == summary.keys()


@pytest.mark.parametrize("overrides", [(), (FAULTS,)])
@pytest.mark.parametrize("stop", [False, True])
def test_figures_add_up(overrides, stop):
    summary = summarise(*run(*overrides, stop=stop))
    c, latency = summary["conversions"], summary["latency_seconds"]
    assert c["requested"] == c["completed"] + c["failed"] + c["unfinished"]
    assert latency["count"] == c["completed"] + c["failed"]
    directions = summary["latency_seconds_by_direction"].values()
    assert latency["count"] == sum(found["count"] for found in directions)
    assert latency["max"] == max(found["max"] or 0 for found in directions)
    attempts = sum(row["count"] for row in summary["failed_attempts"])
    assert attempts == sum(summary["failures"].values())
    by_consumer = summary["failures_by_consumer"].values()
    assert attempts == sum(sum(found.values()) for found in by_consumer)
    assert 0 < c["in_flight_peak"] <= c["requested"]
    assert len(summary["engine"]["busy_seconds"]) == summary["engine"]["partitions"]


def test_the_faulty_run_fails_in_the_ways_that_were_injected():
    summary = summarise(*run(FAULTS))
    assert {"ENOMEM", "EFAULT"} <= summary["failures"].keys()
    assert summary["conversions"]["failed"] > 0
    assert summary["verdict"] == "valid"


def test_all_but_engine_follows_from_the_scenario():
    first, second = (summarise(*run.__wrapped__(FAULTS)) for _ in range(2))
    assert {**first, "engine": 0} == {**second, "engine": 0}
    assert summarise(*run())["digest"] != first["digest"]


def test_partitions_are_joined():
    parts = [word([(1, False)] * 3, findings=[ADMITTED]), word([(5, True)], 1, [ADMITTED], host=1)]
    summary = summarise(decode(), outcome(*parts, finished=False))
    c = summary["conversions"]
    assert (c["requested"], c["completed"], c["failed"], c["unfinished"]) == (5, 3, 1, 1)
    assert c["in_flight_peak"] == 5
    assert summary["failures"] == {"EBUSY": 1}
    assert summary["failures_by_consumer"] == {"kvm_mmu": {"EBUSY": 1}}
    assert summary["anomalies"] == {"AN15": 2}
    whole = summary["latency_seconds"]
    assert (whole["count"], whole["mean"], whole["p50"], whole["max"]) == (4, 0.002, 0.001, 0.005)
    assert summary["latency_seconds_by_direction"]["shared_to_private"] == EMPTY


def test_the_fault_plan_is_counted_over_partitions_by_rule_and_point():
    rules = (
        'fault=[{point="tdx.busy",probability=0},'
        '{point="gmem.tree",nth=1,lasts="1ms",also=["gmem.undo_tree"]}]'
    )
    parts = [word(faults=[[1, 0, 10, 2], [1, 1, 3, 1]]), word(faults=[[1, 0, 4, 0], [1, 1, 0, 0]])]
    rows = summarise(decode(rules), outcome(*parts))["faults"]
    assert [tuple(row.values()) for row in rows] == [
        (0, 0, "tdx.busy", 0, 0),
        (1, 0, "gmem.tree", 14, 2),
        (1, 1, "gmem.undo_tree", 3, 1),
    ]


def test_what_a_run_counts_of_the_fault_plan_is_what_failed():
    summary = summarise(*run('fault=[{point="kvm.split_memory",probability=0.2}]'))
    (row,) = summary["faults"]
    attempts = sum(found["count"] for found in summary["failed_attempts"])
    assert row["struck"] == attempts > 0
    assert row["opportunities"] > row["struck"]


def test_interrupts_are_no_rule_of_the_user_s():
    assert summarise(*run("vm.interrupt_probability=0.5"))["faults"] == []


# --- VMs that are lost ---------------------------------------------------------------------------

BUGGED = o.VmBugged(VM, "commit", Reason.BUSY, False)
ENDS: dict[str, tuple[list[Observation], int, int]] = {
    "bugged": ([BUGGED], 1, 1),
    "bugged, and stopped for it": ([BUGGED, o.VmStopped(VM)], 1, 1),
    "two pages that stay mapped": ([BUGGED, BUGGED], 2, 1),
    "stopped after an error": ([o.VmStopped(VM)], 0, 1),
    "panicked, and stopped for it": ([o.GuestPanicked(VM), o.VmStopped(VM)], 0, 1),
    "exited": ([o.VmStopped(VM, regular=True)], 0, 0),
    "bugged on its way out": ([BUGGED, o.VmStopped(VM, regular=True)], 1, 1),
    "torn down badly after its exit": ([o.VmStopped(VM, regular=True), BUGGED], 1, 0),
}


@pytest.mark.parametrize("name", ENDS)
def test_a_vm_that_a_failure_ended_is_lost_once(name):
    facts, bugged, lost = ENDS[name]
    meter = Meter("two-phase")
    for fact in facts:
        meter.watches()[type(fact)](MS, fact)
    summary = summarise(decode(), outcome({**word(), "meter": meter.result()}))
    assert (summary["vms_bugged"], summary["vms_lost"]) == (bugged, lost)


@pytest.mark.parametrize(
    ("overrides", "lost"),
    [
        (('fault=[{point="gmem.tree",nth=1,reason="bug"}]',), 4),  # EFAULT: the VMM gives up
        (('fault=[{point="gmem.tree",nth=1,reason="bug",vms=0}]',), 2),
        (('workload=[{kind="shutdown",shared="16MiB",uptime="1ms"}]',), 0),
        (
            (
                'fault=[{point="gmem.tree",nth=1}]',
                "vmm.retry=report",
                "vm.guest_retries=0",
                "vm.reaction=panic",
            ),
            4,
        ),
    ],
)
def test_a_run_counts_the_vms_that_will_not_run_again(overrides, lost):
    summary = summarise(*run(*overrides))
    assert (summary["vms_lost"], summary["vms_bugged"]) == (lost, 0)
    assert summary["finished"]


def test_nothing_answered_has_no_percentiles():
    summary = summarise(decode(), outcome(word()))
    assert summary["latency_seconds"] == EMPTY
    assert summary["phases"] == {
        "prepare": {},
        "commit": {},
        "abort": {},
        "invalidate": {},
        "remap": {},
    }
    assert summary["verdict"] == "valid"


def test_wall_figures_come_from_wall_time():
    engine = summarise(decode(), outcome(word([(1, False)] * 10)))["engine"]
    assert (engine["events_per_second"], engine["conversions_per_second"]) == (500, 5)


def test_parameters_are_the_keys_that_differ():
    summary = summarise(*run(FAULTS))
    keys = [row["key"] for row in summary["parameters"]]
    assert keys[:4] == [
        "scenario.name",
        "scenario.conversions",
        "fleet.hosts",
        "fleet.vms_per_host",
    ]
    assert "fault.0.point" in keys
    assert all(row["value"] != row["default"] for row in summary["parameters"])


def test_a_replay_tells_of_its_input(tmp_path):
    log = tmp_path / "vm.log"
    good = "kvm_convert_memory start 0x0 size 0x1000 shared_to_private\n"
    log.write_text(good * 2 + "something else\nkvm_convert_memory start 0xzz size 0x1000\n")
    logs = read_logs([str(log)])
    found = summarise(decode(), outcome(word()), logs)["input"]
    (sample,) = found.pop("damaged_lines")
    assert found == {"files": 1, "lines": 4, "conversions": 2, "ignored": 1, "damaged": 1}
    assert (sample["file"], sample["line"]) == (str(log), 4)


# --- verdict -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("findings", "verdict", "reasons"),
    [
        ([], "valid", []),
        ([ADMITTED], "valid", []),
        (
            [EXCLUDED, EXCLUDED],
            "violated",
            [
                "AN3 (S-EPT mapping not restored), 2 times; first at 2.00 ms, h0/v3, task 0, try 42: "
                "gfn 0x10..0x20 was MAPPED and is BLOCKED"
            ],
        ),
        (
            [BROKEN, ADMITTED],
            "violated",
            [
                "I4 (a free frame is mapped nowhere and has no owner), once; first at 1.00 ms, h0/v3: "
                "freed memory is still in the IOMMU"
            ],
        ),
    ],
)
def test_what_was_found_decides(findings, verdict, reasons):
    assert judged(word([(1, False)], findings=findings)) == (verdict, reasons)


def test_a_conversion_that_is_never_answered_breaks_l1():
    expected = "L1 (every conversion is answered), once"
    where = "; first at 1.00 ns, h0/v0, task 0, try 8: no answer"
    assert judged(word(unanswered_requests=1)) == ("violated", [expected])
    held = judged(word(unanswered_requests=1, unanswered=1))
    assert held == ("violated", [expected + where])


def test_a_stopped_run_is_unknown_and_says_why():
    stopped = judged(word([(1, False)], 1, unanswered=1), finished=False, stopped="Ctrl-C")
    assert stopped == ("unknown", ["ended early: Ctrl-C"])


def test_a_stopped_run_that_broke_something_is_violated():
    verdict, reasons = judged(word(findings=[BROKEN]), finished=False, stopped="Ctrl-C")
    assert verdict == "violated"
    assert [reason[:5] for reason in reasons] == ["I4 (a", "ended"]


@pytest.mark.parametrize(
    ("check", "finished", "verdict"),
    [
        ('"conversion.latency.max"="< 5ms"', True, "violated"),
        ('"conversion.latency.max"="< 6ms"', True, "valid"),
        ('"conversions.completed"=">= 100"', True, "violated"),
        # Who goes on can complete more and mend percentiles; a maximum stays.
        ('"conversions.completed"=">= 100"', False, "unknown"),
        ('"conversions.completed"="== 100"', False, "unknown"),
        ('"conversions.completed"="== 0"', False, "violated"),
        ('"conversion.latency.p99"="< 5ms"', False, "unknown"),
        ('"conversion.latency.max"="< 5ms"', False, "violated"),
        ('"anomalies"="none"', False, "violated"),
        ('"anomalies"="none"', True, "violated"),
    ],
)
def test_a_failed_check_counts_once_no_more_time_can_mend_it(check, finished, verdict):
    seen = word([(5, False)], findings=[ADMITTED])
    assert judged(seen, checks=[check], finished=finished)[0] == verdict


def test_a_failed_check_says_what_it_met():
    seen = word([(5, False)])
    _, reasons = judged(seen, checks=['"conversion.latency.p99"="< 5ms"'])
    assert reasons == ["check conversion.latency.p99: 5.00 ms, wanted < 5ms"]


@pytest.mark.parametrize("check", ["conversion.latency.p99", "boot.max"])
def test_a_check_without_data_is_unknown_and_says_so(check):
    found = judged(word(), checks=[f'"{check}"="< 5ms"'])
    assert found == ("unknown", [f"check {check}: no data, wanted < 5ms"])


def test_a_run_that_did_nothing_misses_what_was_to_happen():
    limits = ['"conversion.latency.p99"="< 5ms"', '"conversions.requested"="> 0"']
    assert judged(word(), checks=limits) == (
        "violated",
        [
            "check conversions.requested: 0, wanted > 0",
            "check conversion.latency.p99: no data, wanted < 5ms",
        ],
    )


def test_a_stopped_run_does_not_say_what_it_has_no_data_for():
    found = judged(word(), checks=['"boot.max"="< 5ms"'], finished=False, stopped="Ctrl-C")
    assert found == ("unknown", ["ended early: Ctrl-C"])


def test_another_digest_than_expected_is_a_violation():
    assert judged(word(), expect_digest=DIGEST.upper())[0] == "valid"
    assert judged(word(), expect_digest="ff") == ("violated", [f"digest {DIGEST}, expected ff"])
    assert judged(word(), expect_digest="ff", finished=False)[0] == "unknown"


def test_exit_statuses():
    assert [exit_status(verdict) for verdict in ("valid", "violated", "unknown")] == [0, 1, 3]


def test_callers_that_cannot_fail_and_got_an_error_are_told_by_site():
    meter = Meter("two-phase")
    for site, no_fail in (("exit_mmap", True), ("clear_refs_write", False), ("exit_mmap", True)):
        meter.notifier_called(1, o.NotifierCalled(VM, site, 0, 1))
        meter.notifier_failed(1, o.NotifierError(VM, site, no_fail, True, Reason.BUSY))
    summary = summarise(decode(), outcome(word() | {"meter": meter.result()}))
    assert (summary["notifier_calls"], summary["no_fail_failures"]) == (3, 2)
    assert summary["no_fail_callers_failed"] == {"exit_mmap": 2}


def test_an_invariant_that_the_protocol_does_not_promise_is_not_broken_by_it():
    found = {"invariant_violations": {"I18": 2, "I16": 1}, "anomalies": {"AN13": 2, "AN5": 1}}
    failable, two_phase = (
        excluded({"protocol": protocol, "parameters": [], **found}).keys()
        for protocol in ("failable-notifier", "two-phase")
    )
    assert failable == {"I16", "AN5"}
    assert two_phase == {"I18", "I16", "AN13", "AN5"}


def test_a_load_that_ended_before_its_answers_says_so():
    ends = decode('scenario.duration="5ms"')
    summary = summarise(ends, outcome(word([(1, False)] * 15)))
    assert summary["load_ended_seconds"] == 0.005
    # Answers come each millisecond; the bins are a little wider, and the fifth one began before the end.
    assert summary["drain"] == {"seconds": 0.015, "answered": 10}
    assert "drain" not in summarise(decode(), outcome(word()))
