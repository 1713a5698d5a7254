"""What a run prints: the verdict, the table, progress; plain where there is no terminal."""

import io
from pathlib import Path

import pytest

from cluster.drive import Totals
from tests.workloads.small_runs import DIGEST, FAULTS, MS, decode, outcome, run, word
from workloads import simulate
from workloads.outcome import figures
from workloads.outcome.live import Live
from workloads.outcome.progress import total_of
from workloads.outcome.summary import summarise
from workloads.outcome.terminal import Progress, show

FOLDER = Path("results/small/20261123T031500Z-1")
EXCLUDED = [2_000_000, "AN3", 256, 41, "gfn 0x10..0x20 was MAPPED and is BLOCKED"]


class Terminal(io.StringIO):
    def isatty(self):
        return True


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def printed(summary, stream=None):
    stream = stream or io.StringIO()
    show(summary, FOLDER, stream)
    return stream.getvalue()


def test_costs_that_are_not_the_table_s_are_told():
    own = decode('costs.override={kick_slope="2us", block="1.5us"}')
    assert "own costs        kick_slope = 2us, block = 1.5us\n" in printed(
        summarise(own, outcome(word()))
    )
    assert "own costs" not in printed(summarise(decode(), outcome(word())))


# --- verdict and table ---------------------------------------------------------------------------


def test_the_whole_text_of_a_small_run():
    seen = word([(1, False), (3, False), (5, True)], findings=[EXCLUDED])
    summary = summarise(decode('checks={"conversion.latency.p99"="< 9ms"}'), outcome(seen))
    assert (
        printed(summary)
        == f"""\
VIOLATED  small, protocol two-phase, seed 1
  AN3 (S-EPT mapping not restored), once; first at 2.00 ms, h0/v0, task 0, try 42: gfn 0x10..0x20
  was MAPPED and is BLOCKED

conversions      3 requested: 2 completed (0 redundant), 1 failed, 0 unfinished; 0 retries, 3 in
                 flight at most
failed attempts  EBUSY 1
latency                  p50        p90        p99        max
  to shared          3.00 ms    5.00 ms    5.00 ms    5.00 ms
  to private               -          -          -          -
simulated        20.0 ms; 333 conversions/s of simulated time up to the last answer, at 9.00 ms
wall clock       2.00 s; 1.50 conversions/s, 500 events/s
anomalies        AN3 S-EPT mapping not restored: 1 (EXCLUDED)
check            passed: conversion.latency.p99 < 9ms: 5.00 ms
memory           private 0 B, shared 0 B in 0 fragments; poisoned 0 B, leaked 0 B; 0 huge mappings
                 lost
engine           local, 1 partition on 1 node, 1,000 events, 64.0 MiB of memory
digest           {DIGEST}

results: {FOLDER}
"""
    )


RULES = (
    '{point="tdx.busy",probability=0.1}',
    '{point="gmem.tree",nth=9,lasts="1ms",also=["gmem.undo_tree"]}',
    '{point="tdx.busy",nth=3}',
)


def faults_told(*counts):
    text = printed(summarise(decode(f"fault=[{','.join(RULES)}]"), outcome(word(faults=counts))))
    return " ".join(text[text.index("\nfaults ") : text.index("\nlatency")].split())


def test_rules_of_the_fault_plan_are_told_with_what_they_met_and_who_never_struck():
    assert faults_told([0, 0, 5100, 51], [1, 0, 8, 0]) == (
        "faults fault.0 tdx.busy 51 of 5,100;"
        " never struck: fault.1 (gmem.tree, 0 of 8), fault.1.1 (gmem.undo_tree, 0 of 0),"
        " fault.2 (tdx.busy, 0 of 0)"
    )
    every = [[0, 0, 9, 1], [1, 0, 8, 2], [1, 1, 7, 3], [2, 0, 6, 4]]
    assert faults_told(*every) == (
        "faults fault.0 tdx.busy 1 of 9, gmem.tree 2 of 8, gmem.undo_tree 3 of 7,"
        " fault.2 tdx.busy 4 of 6"
    )


def test_without_a_fault_plan_nothing_is_said_of_it():
    assert "faults" not in printed(summarise(decode(), outcome(word())))


def test_lost_vms_are_told():
    summary = {**summarise(decode(), outcome(word())), "vms_lost": 4}
    assert "VMs lost         4 will not run again\n" in printed(summary)


@pytest.mark.parametrize("overrides", [(), (FAULTS,), ('workload=[{kind="boot"}]',)])
def test_no_escape_codes_without_a_terminal_and_a_hundred_columns_at_most(overrides, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("COLUMNS", "300")
    text = printed(summarise(*run(*overrides)))
    assert "\033" not in text
    assert max(map(len, text.splitlines())) <= 100
    assert text.startswith("VALID")
    assert text.endswith(f"results: {FOLDER}\n")


def test_no_fail_callers_have_a_line_where_one_of_them_got_an_error():
    summary = summarise(decode(), outcome(word()))
    assert "no-fail" not in printed(summary)
    hit = {"N3 remap_pfn_range_notrack": 2, "__split_huge_pmd": 1}
    summary |= {"notifier_calls": 1200, "no_fail_failures": 3, "no_fail_callers_failed": hit}
    line = "3 of 1,200 got an error: N3 remap_pfn_range_notrack 2, __split_huge_pmd 1"
    assert f"no-fail callers  {line}" in printed(summary)


def test_a_stopped_run_says_unknown_first_and_why():
    summary = summarise(decode(), outcome(word(), finished=False), (), "the time limit was reached")
    lines = printed(summary).splitlines()
    assert lines[:2] == [
        "UNKNOWN  small, protocol two-phase, seed 1",
        "  ended early: the time limit was reached",
    ]
    assert f"digest           {DIGEST} (of the part that ran)" in lines


def test_a_terminal_gets_colour_and_the_same_words(monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "100")
    text = printed(summarise(decode(), outcome(word())), Terminal())
    assert "\033[1;32mVALID" in text


def test_nothing_from_a_file_reaches_the_terminal_raw():
    summary = summarise(decode(), outcome(word()))
    summary |= {"scenario": "\033[2J[red]x", "reasons": ["a\nb\r"], "failures": {"\033": 1}}
    text = printed(summary)
    assert "\033" not in text
    assert "\r" not in text
    assert "[red]x" in text


# --- figures -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "-"),
        (0, "0 s"),
        (4e-7, "400 ns"),
        (1.2345e-6, "1.23 us"),
        (9.996e-6, "10.0 us"),
        (0.00099951, "1.00 ms"),
        (0.5, "500 ms"),
        (999.4, "999 s"),
        (999.6, "16.7 min"),
        (10**6, "278 h"),
        (10**7, "116 d"),
    ],
)
def test_durations_have_three_digits(seconds, text):
    assert figures.duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (None, "-"),
        (0, "0 B"),
        (999, "999 B"),
        (1000, "0.977 KiB"),
        (4096, "4.00 KiB"),
        (34_359_549_952, "32.0 GiB"),
        (1 << 52, "4,096 TiB"),
    ],
)
def test_sizes_are_binary(count, text):
    assert figures.size(count) == text


@pytest.mark.parametrize(
    ("value", "text"), [(None, "-"), (0.5, "0.500"), (20_512.7, "20,500"), (999.9, "1,000")]
)
def test_rates_have_three_digits(value, text):
    assert figures.rate(value) == text


# --- progress ------------------------------------------------------------------------------------


def told(times, overrides=("scenario.conversions=10",), news=None, **named):
    """What is printed when the same news comes at these wall-clock times, all hosts being 20 ms on."""
    stream, clock = named.pop("stream", io.StringIO()), Clock()
    plan = simulate.prepare(decode(*overrides)).plan
    news = news or [word([(1, False), (1, True)], unanswered_requests=1)]
    with Progress(plan, stream=stream, clock=clock, **named) as progress:
        for clock.now in times:
            progress.update(Totals(now=20_000_000, earliest=20_000_000), news)
    return stream.getvalue()


# The requests of `word` come on top of what the load asks for: at most 10 and 3 more.
def test_a_plain_line_comes_at_each_interval():
    line = "2 of at most 13 conversions, {}/s, 20.0 ms simulated, 1 in flight, 1 failed, about {} left\n"
    assert told([1, 4, 5, 6, 10, 14]) == line.format("0.400", "20.0 s") + line.format(
        "0.200", "40.0 s"
    )


def test_without_a_total_the_simulated_time_tells_how_far():
    text = told([5], overrides=['scenario.duration="40ms"'])
    assert text == (
        "2 conversions, 0.400/s, 20.0 ms simulated, 1 in flight, 1 failed, about 5.00 s left\n"
    )


ENDED = ('scenario.duration="20ms"', "scenario.conversions=1000")


def test_once_the_load_has_ended_it_tells_what_is_left():
    behind = {**word([(1, False), (1, True)], unanswered_requests=1), "backlog": 5}
    assert told([5], ENDED, [behind]) == (
        "2 of at most 1,003 conversions, 0.400/s, 20.0 ms simulated, 1 in flight, 1 failed; "
        "none asked for since 20.0 ms: draining 6, about 15.0 s left\n"
    )


def test_of_a_backlog_that_nobody_knows_no_number_and_no_end_is_told():
    behind = {**word([(1, False)], unanswered_requests=1), "backlog": None}
    text = told([5], ENDED, [word(), behind])
    assert text.endswith("0 failed; none asked for since 20.0 ms: draining\n")


def test_a_host_that_is_behind_may_still_ask():
    stream, clock = io.StringIO(), Clock()
    plan = simulate.prepare(decode(*ENDED)).plan
    with Progress(plan, stream=stream, clock=clock) as progress:
        clock.now = 5
        progress.update(Totals(now=30_000_000, earliest=10_000_000), [word([(1, False)])])
    assert stream.getvalue().endswith("0 failed, about 5.00 s left\n")


def test_a_partition_that_has_said_nothing_is_no_news():
    stream, clock = io.StringIO(), Clock()
    with Progress(simulate.prepare(decode()).plan, stream=stream, clock=clock) as progress:
        clock.now = 60
        progress.update(Totals(), [])
    assert stream.getvalue() == ""


@pytest.mark.parametrize("stream", [io.StringIO, Terminal])
def test_quiet_is_silent(stream):
    assert told([10, 20], quiet=True, stream=stream()) == ""


def test_a_terminal_gets_a_bar(monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "100")
    text = told([1, 2], stream=Terminal())
    assert "2 of at most 13 conversions" in text
    assert "\033[" in text


def test_a_trace_has_as_many_conversions_as_its_vms_have_lines(tmp_path):
    log = tmp_path / "vm.log"
    log.write_text("kvm_convert_memory start 0x0 size 0x1000 private_to_shared\n" * 3)
    trace = f'workload=[{{kind="trace",log=["{log}"]}}]'
    fleet = ["fleet.hosts=2", "fleet.vms_per_host=2"]
    assert total_of(simulate.prepare(decode(trace, *fleet)).plan) == 12
    some = simulate.prepare(decode(trace, *fleet, "scenario.conversions=5")).plan
    assert total_of(some) == 5
    assert total_of(simulate.prepare(decode()).plan) is None


def test_the_live_view_s_speeds_bear_a_word_in_which_no_time_passes():
    clock = Clock()
    live = Live(simulate.prepare(decode()).plan, io.StringIO(), clock)
    said = []
    for wall, done, now in (
        (1.0, 1000, 10 * MS),
        (1.5, 1017, 10 * MS + 1),
        (2.0, 1034, 10 * MS + 1),
    ):
        clock.now = wall
        words = [word([(1, False)] * done)]
        said.append(
            dict(live.figures(Totals(events=1, now=now, busy=[], wait=[]), words))["throughput"]
        )
    assert said == [
        "1,000/s, 100,000/s of simulated time",
        "678/s, 102,000/s of simulated time",
        "517/s, 103,000/s of simulated time",
    ]
