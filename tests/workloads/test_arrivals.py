"""Arrivals: who comes when, the file of a trace, and what whole runs come to under each policy."""

from typing import Any

import pytest

from tests.negative.fleet_cases import ARRIVING
from tests.runs import simulated
from workloads import arrivals, scenario
from workloads.arrivals import SECOND_NS, Drawn, Traced
from workloads.errors import UsageError
from workloads.fleet_meter import until_up
from workloads.outcome import terminal
from workloads.outcome.compare_rows import rows
from workloads.outcome.summary import summarise
from workloads.submit import with_logs

FLEET = (*ARRIVING, "vm.memory=8MiB", "fleet.hosts=3", "fleet.generations=16")
OPEN = (*FLEET, "arrivals.kind=poisson", "arrivals.rate=1000", "arrivals.boots=2")


def said(*overrides, text=""):
    return scenario.decode(text, "test.toml", list(overrides))


def drawn(*overrides):
    return Drawn(said(*overrides))


def test_a_poisson_process_comes_at_its_rate_and_lives_for_its_mean():
    found = drawn(*FLEET, "arrivals.kind=poisson", "arrivals.rate=4")
    numbers = range(4000)
    gaps = [found.wait(number) for number in numbers]
    lives = [found.lifetime(number) for number in numbers]
    assert sum(gaps) / len(gaps) == pytest.approx(SECOND_NS / 4, rel=0.05)
    assert sum(lives) / len(lives) == pytest.approx(SECOND_NS * 5e-3, rel=0.05)  # of FLEET
    assert gaps == [found.wait(number) for number in numbers] and found.again == 0
    assert 0.6 < sum(gap < SECOND_NS / 4 for gap in gaps) / len(gaps) < 0.66  # 1 - 1/e


def test_a_closed_population_is_there_at_once_and_nobody_else_comes_of_his_own():
    found = drawn(*FLEET)
    assert [found.wait(number) for number in range(7)] == [0] * 6 + [None]
    assert found.again == 1_000_000


def test_a_trace_is_as_its_file_says(tmp_path):
    file = tmp_path / "vms.txt"
    file.write_text("# when, how long\n2.5 4\n\n0.5 1e-3  # the first one\n")
    one = said(*FLEET, "arrivals.kind=trace", f"arrivals.trace={file}")
    rows = arrivals.read(one)
    assert rows == ((SECOND_NS // 2, SECOND_NS // 1000), (SECOND_NS * 5 // 2, 4 * SECOND_NS))
    found = Traced(rows)
    assert [found.wait(n) for n in range(3)] == [SECOND_NS // 2, 2 * SECOND_NS, None]
    assert found.lifetime(1) == 4 * SECOND_NS


@pytest.mark.parametrize("line", ["1", "1 2 3", "one 2", "-1 2", "nan 2", "1 inf", "1 1e10"])
def test_a_line_that_is_no_arrival_gets_an_error_with_its_place(line):
    with pytest.raises(UsageError) as raised:
        list(arrivals.rows("vms.txt", ["", line]))
    assert str(raised.value) == (
        f'vms.txt:2: found "{line}", expected two numbers of seconds: when a VM comes, and how '
        "long it lives"
    )


def test_a_trace_that_is_not_there_is_a_mistake(tmp_path):
    one = said(*FLEET, "arrivals.kind=trace", f"arrivals.trace={tmp_path}/none")
    with pytest.raises(UsageError) as raised:
        arrivals.read(one)
    assert str(raised.value) == f"arrivals.trace: {tmp_path}/none: No such file or directory"


def test_a_job_takes_its_trace_along(tmp_path):
    (tmp_path / "vms.txt").write_text("1 2\n")
    one = said(*FLEET, "arrivals.kind=trace", f"arrivals.trace={tmp_path}/vms.txt")
    with_logs(one, tmp_path / "logs")
    assert [file.read_text() for file in (tmp_path / "logs").iterdir()] == ["1 2\n"]


# --- whole runs ----------------------------------------------------------------------------------


def summary_of(*overrides):
    return summarise(said(*overrides), simulated(*overrides))


@pytest.mark.parametrize("policy", ["first-fit", "least-loaded", "spread"])
def test_every_request_is_placed_or_turned_away_or_waits(policy):
    summary = summary_of(
        *OPEN,
        f"arrivals.policy={policy}",
        "arrivals.queue=2",
        "arrivals.rate=4000",
        "arrivals.boots=1",
    )
    found = summary["arrivals"]
    assert found["came"] == found["placed"] + found["turned_away"] + found["pending"]
    assert min(found[key] for key in ("came", "turned_away", "refused", "queued", "left")) > 0
    assert summary["verdict"] == "valid" and "vms_admitted" not in summary
    waits = found["placement_seconds"]
    assert waits["count"] == found["placed"] and waits["p50"] >= 4e-4  # there and back


def test_a_closed_population_stays_as_large_as_it_is():
    found = summary_of(*FLEET)["arrivals"]
    assert found["turned_away"] == 0
    # Whoever has left comes again, but for those whose pause lasts to the end.
    assert found["left"] <= found["came"] <= 6 + found["left"]


def test_what_a_trace_says_comes(tmp_path):
    (tmp_path / "vms.txt").write_text("0 0.002\n0.001 0.002\n0.004 9\n")
    summary = summary_of(*FLEET, "arrivals.kind=trace", f"arrivals.trace={tmp_path}/vms.txt")
    found = summary["arrivals"]
    assert [found[key] for key in ("came", "placed", "pending", "left")] == [3, 3, 0, 2]
    assert summary["boot_seconds"]["count"] == found["up_seconds"]["count"] == 3


def test_a_vm_is_up_once_it_was_placed_and_has_booted():
    """A request alone on its host: the way there, and the boot."""
    summary = summary_of(*FLEET, "arrivals.population=1", "arrivals.lifetime=1h")
    up = summary["arrivals"]["up_seconds"]
    there = summary["arrivals"]["placement_seconds"]["mean"] / 2
    assert up["count"] == 1
    assert up["mean"] == pytest.approx(summary["boot_seconds"]["mean"] + there, rel=0.1)


def test_requests_of_one_place_are_told_apart():
    words: list[dict[str, Any]] = [
        {"came": [(0, 10), (1, 20)]},
        {"begun": [(7, 30, 0), (7, 90, 1)]},
        {"up": [(7, 50), (7, 150)]},
        {},  # so far: nothing is told before the end
    ]
    found = until_up(words)
    assert (found.count, found.total, found.most) == (2, 40 + 130, 130)
    assert [until_up(words[:2] + words[3:]).count, until_up(words[1:]).count] == [0, 0]
    assert until_up([words[0], words[2]]).count == 0  # the hosts' partition is lost


def test_an_empty_trace_is_an_empty_run(tmp_path):
    (tmp_path / "vms.txt").write_text("")
    summary = summary_of(*FLEET, "arrivals.kind=trace", f"arrivals.trace={tmp_path}/vms.txt")
    assert (summary["arrivals"]["came"], summary["conversions"]["requested"]) == (0, 0)


def test_policies_differ():
    quiet = ("arrivals.rate=10", "arrivals.boots=4", "arrivals.queue=0", "scenario.duration=500ms")
    hosts = {}
    for policy in ("first-fit", "spread"):
        outcome = simulated(*OPEN, *quiet, f"arrivals.policy={policy}")
        hosts[policy] = len(outcome.watched[0]["meter"]["timelines"])
    assert hosts == {"first-fit": 1, "spread": 3}


def test_the_terminal_tells_of_arrivals():
    summary = summary_of(*OPEN)
    (text,) = [text for name, text in terminal.rows(summary) if name == "arrivals"]
    assert text.startswith(f"{summary['arrivals']['came']} came: ")
    assert "placed after: p50 " in text and "\nup after: p50 " in text


def test_places_that_can_have_nobody_any_more_are_told():
    few = summary_of(*OPEN, "fleet.generations=2", "scenario.duration=100ms")
    assert few["arrivals"]["places_used_up"] > 0 and few["verdict"] == "valid"
    (text,) = [text for name, text in terminal.rows(few) if name == "arrivals"]
    assert f"\n{few['arrivals']['places_used_up']} places have had all their VMs" in text
    assert summary_of(*OPEN)["arrivals"]["places_used_up"] == 0


def test_a_comparison_has_rows_for_arrivals_where_there_are_any():
    plain = summary_of("scenario.conversions=5", "fleet.hosts=1")
    some = summary_of(*OPEN)
    labels = [
        {
            row.label: [cell.text for cell in row.cells]
            for row in rows({"protocols": {"two-phase": s}})
        }
        for s in (plain, some)
    ]
    assert "VMs placed" not in labels[0]
    assert labels[1]["VMs placed"] == [str(some["arrivals"]["placed"])]


def test_where_nobody_arrives_nothing_is_said_of_it():
    summary = summary_of("scenario.conversions=5", "fleet.hosts=1")
    assert "arrivals" not in summary
    assert "arrivals" not in dict(terminal.rows(summary))


def test_vms_that_die_make_room_for_others():
    fault = 'fault=[{point="tdx.bug",probability=0.02}]'
    load = 'workload=[{kind="churn",think="100us"}]'
    summary = summary_of(*FLEET, fault, load, "protocol.name=two-phase-untraced")
    assert summary["vms_lost"] > 0 and summary["arrivals"]["left"] >= summary["vms_lost"] - 6
    assert not summary["invariant_violations"].keys() & {"I24", "I25", "L9"}


def test_where_all_hosts_talk_they_do_so_in_windows():
    outcome = simulated(*FLEET)
    assert outcome.lookahead == 200_000 and outcome.totals.windows > 10
    assert simulated(*FLEET, "costs.override.network=1ms").lookahead == 1_000_000


def erlang_b(places, load):
    """The share of requests that find all places taken, if nobody waits: whatever the distribution of stays."""
    found = 1.0
    for number in range(1, places + 1):
        found = load * found / (number + load * found)
    return found


def test_the_share_of_requests_turned_away_is_erlangs():
    stay, rate = 1.0, 10.0
    fleet = (
        "scenario.duration=70s",
        "fleet.hosts=3",
        "fleet.generations=64",
        "arrivals.kind=poisson",
        f"arrivals.rate={rate}",
        f"arrivals.lifetime={stay}s",
        "arrivals.boots=4",
        "arrivals.queue=0",
        "arrivals.policy=first-fit",
        'workload=[{kind="churn",think="1h"}]',
    )
    found = summary_of(*FLEET, *fleet)["arrivals"]
    share = found["turned_away"] / found["came"]
    assert found["came"] > 600
    assert share == pytest.approx(erlang_b(12, rate * stay), abs=0.03)
