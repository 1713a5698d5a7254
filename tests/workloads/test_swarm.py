"""The swarm: scenarios from seeds, failures that are found and made small, what was reached."""

import json
import math
from typing import Any

import msgspec
import pytest

from tests.negative import bugs
from workloads.errors import UsageError
from workloads.pool import OneByOne
from workloads.scenario import KINDS, Churn, Fault, Scenario, decode, to_short_toml, to_toml
from workloads.swarm import space, trial
from workloads.swarm.again import differs
from workloads.swarm.command import swarm
from workloads.swarm.coverage import coverage
from workloads.swarm.drive import Failing, Limits, Swarm
from workloads.swarm.generate import generate
from workloads.swarm.rows import all_rows
from workloads.swarm.shrink import shrink
from workloads.swarm.trial import Found, Trial, plain, tried

SEEDS = range(1, 9)
FIXED = Limits(first=1, runs=2, again=0, hang=60.0)


def tried_of(scenario):
    found = tried(Trial(plain(scenario), 60.0))
    assert found
    return found


# --- scenarios -----------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
def test_what_is_drawn_is_a_valid_input(seed):
    scenario = generate(seed)
    for text in (to_toml(scenario), to_short_toml(scenario)):
        assert decode(text, f"swarm-{seed}.toml") == scenario


def test_a_seed_is_a_scenario():
    drawn = [generate(seed) for seed in (1, 2, 3, 1)]
    assert drawn[0] == drawn[3] and len({scenario.vm for scenario in drawn}) == 3


def test_every_kind_of_workload_can_be_drawn():
    assert set(space.LOADS) == set(KINDS)


@pytest.mark.parametrize("way", [*space.SPACE.values(), space.KIND, space.FAULTS])
def test_a_way_to_choose_has_a_value_for_every_draw(way):
    for draw in (0.0, 0.5, math.nextafter(1, 0)):
        way(draw)


# --- a run of it ---------------------------------------------------------------------------------


def found_by(limits, again=lambda *_: None):
    """All of a small swarm, in this process."""
    found = Swarm(limits, again)
    small: list[Failing] = []
    found.run(OneByOne(lambda: False, trial.run), lambda: False, small.append)
    return found, small


def test_a_crash_is_told_apart_by_where_it_comes_from(monkeypatch):
    def broken(*_):
        raise ZeroDivisionError("planted")

    monkeypatch.setattr("workloads.simulate.run", broken)
    found = tried(Trial(plain(generate(1)), 60.0))
    assert found and found.failure
    assert (found.failure.kind, found.failure.what) == ("crash", ("ZeroDivisionError in broken",))
    assert found.failure.lines[-1] == "ZeroDivisionError: planted"


def test_a_run_that_does_not_end_is_a_failure(monkeypatch):
    def endless(*_):
        while True:
            pass

    monkeypatch.setattr("workloads.simulate.run", endless)
    found = tried(Trial(plain(generate(1)), 0.1))
    assert found and found.failure and found.failure.kind == "hang"


@pytest.mark.parametrize("turn", [0, 1])
def test_another_digest_is_a_failure(turn):
    scenario = generate(1)
    found = tried_of(scenario)
    assert differs(scenario, found, "local", None, turn) is None
    wrong = Found(digest="00", events=found.events)
    other = differs(scenario, wrong, "local", None, turn)
    assert other and (other.kind, found.digest in other.lines[0]) == ("digest", True)


def test_a_seed_that_comes_to_another_digest_fails_and_one_like_it_is_only_named():
    failure = trial.Failure("digest", ("packed",), ("planted",))
    found, small = found_by(FIXED._replace(runs=2, again=1), lambda *_: failure)
    assert [(one.seed, one.like) for one in found.failing] == [(1, 0), (2, 1)]
    assert [one.seed for one in small] == [1]


# --- made small ----------------------------------------------------------------------------------


def test_greed_keeps_what_the_failure_needs_and_nothing_else():
    wide = decode(
        "[fleet]\nhosts=3\nvms_per_host=4\n[vm]\nsept_add=true\nmemory='64MiB'\n"
        "[[workload]]\nkind='balloon'\n[[workload]]\nkind='churn'\ntouch=1.0\n"
        "[[fault]]\npoint='tdx.busy'\nnth=[1]\n[[fault]]\npoint='tdx.bug'\nlasts='1ms'\nprobability=0.5\n",
        "wide.toml",
    )

    def fails(candidate: Scenario) -> bool:
        points = [fault.point for fault in candidate.fault]
        return candidate.fleet.hosts >= 2 and "tdx.bug" in points

    small = shrink(wide, fails, 300)
    assert (small.fleet.hosts, small.fleet.vms_per_host, small.vm.sept_add) == (2, 1, False)
    assert (small.workload, small.fault) == ((Churn(),), (Fault(point="tdx.bug"),))


def test_it_gives_up_after_so_many_tries():
    tries: list[Scenario] = []

    def fails(candidate: Scenario) -> bool:
        tries.append(candidate)
        return False

    assert shrink(generate(1), fails, 3) == generate(1)
    assert len(tries) == 3


# --- what was reached ----------------------------------------------------------------------------


def test_what_never_fired_is_told():
    row = all_rows()[0]
    runs = [
        Found(fault_points={"tdx.bug": 3}, anomalies={"AN3": 1}),
        Found(fault_points={"tdx.bug": 1}, table_rows={row: 9}),
    ]
    found = coverage(runs)
    assert found["fault_points"]["fired"] == {"tdx.bug": 2}
    assert "tdx.bug" not in found["fault_points"]["never"]
    assert (found["table_rows"]["fired"], len(found["table_rows"]["never"])) == (
        {row: 1},
        len(all_rows()) - 1,
    )
    assert found["anomalies"]["fired"] == {"AN3": 1} and "AN4" in found["anomalies"]["never"]


def test_rows_that_are_taken_are_rows_that_there_are():
    rows = [row for seed in (5, 8) for row in tried_of(generate(seed)).table_rows]
    assert rows and set(rows) <= set(all_rows())


# --- the command ---------------------------------------------------------------------------------

WORLD: Any = None  # the bug is planted in all of them
FLAGS = {
    "executor": "local", "address": None, "workers": None, "results": "", "time_limit": None,
    "runs": 6, "seed": 5, "again": 10, "hang": "60s", "as_json": True, "quiet": False,
}  # fmt: skip


def test_the_fixed_set_is_valid(tmp_path, capsys):
    assert swarm({**FLAGS, "results": str(tmp_path)}) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["verdict"], found["runs"], found["violated"]) == ("valid", 6, 0)
    assert found["checked_again"] == 1 and found["failures"] == []
    assert set(found["coverage"]) == {"fault_points", "table_rows", "anomalies"}
    assert len(found["coverage"]["table_rows"]["fired"]) > 30


def test_a_planted_bug_is_found_made_small_and_can_be_run_again(tmp_path, capsys, monkeypatch):
    bugs.answer_with_the_start(WORLD, monkeypatch)
    monkeypatch.setattr("workloads.swarm.drive.TRIES_MAX", 25)
    flags = {**FLAGS, "results": str(tmp_path), "seed": 19, "runs": 1, "as_json": False}
    assert swarm(flags) == 1
    (own,) = (tmp_path / "swarm" / "latest").glob("19")
    assert f"again: gmemsim run {own.resolve() / 'smallest.toml'}" in capsys.readouterr().out
    assert decode((own / "scenario.toml").read_text(), "x.toml") == generate(19)
    assert "=> L7 is broken" in (own / "story.txt").read_text()
    small = decode((own / "smallest.toml").read_text(), "x.toml")
    failure = tried_of(small).failure
    assert failure and "L7" in failure.what
    assert (small.fleet.hosts, small.fleet.vms_per_host, len(small.workload)) == (1, 1, 1)
    monkeypatch.undo()
    assert tried_of(small).failure is None


def test_what_is_made_small_is_told_and_heeds_the_end(monkeypatch):
    bugs.answer_with_the_start(WORLD, monkeypatch)
    told: list[tuple[int, int]] = []

    def asked():
        told.append(found.small)
        return len(told) > 5

    found = Swarm(Limits(first=19, runs=1, again=0, hang=60.0), lambda *_: None)
    small: list[Failing] = []
    found.run(OneByOne(lambda: False, trial.run), asked, small.append)
    within = [tries for seed, tries in told if seed == 19]
    assert within[:3] == [0, 1, 2] and max(within) < 6  # and nothing is tried after the end
    assert [one.seed for one in small] == [19] and found.small == (0, 0)


def test_a_time_limit_is_a_normal_end(tmp_path, capsys):
    flags = {**FLAGS, "results": str(tmp_path), "runs": None, "time_limit": "1s"}
    assert swarm(flags) in (0, 3)  # 3 where not a single run came to its end in time
    assert json.loads(capsys.readouterr().out)["violated"] == 0


@pytest.mark.parametrize("flags", [{"hang": "soon"}, {"hang": "0s"}, {"executor": "slurm"}])
def test_a_mistake_is_told_in_one_line(flags, tmp_path):
    with pytest.raises(UsageError):
        swarm({**FLAGS, "results": str(tmp_path), **flags})


def test_what_crosses_is_the_trial():
    scenario = generate(2)
    back = msgspec.msgpack.decode(trial.packed(scenario, 1.5), type=Trial)
    assert back == Trial(plain(scenario), 1.5)


@pytest.mark.nightly
@pytest.mark.timeout(3600)
def test_for_long(tmp_path):
    assert swarm({**FLAGS, "results": str(tmp_path), "runs": 1000, "seed": 1000}) == 0
