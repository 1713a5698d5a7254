"""What the digest covers, and what it does not depend on. Ray's share of this is in tests/ray."""

import os
import subprocess
import sys
from collections import Counter

import msgspec
import pytest

from cluster.partition import FOREVER, Order, Partition
from cluster.placement import PLACEMENTS, Places
from cluster.run import Executor, unpack
from tests.runs import FAULTS, FILES, RULES, SCHEDULED, SMALL, in_pieces, simulated, toyed
from tests.toy import ToyPlan
from workloads import scenario, simulate
from workloads.fleet import build
from workloads.plan import ENCODER

PROGRAM = """
from tests.runs import *
print(simulated(*SMALL, *FAULTS).digest)
"""


def test_the_seed_and_only_the_seed_decides():
    seeds = [simulated(*SMALL, *FAULTS, f"scenario.seed={seed}").digest for seed in (1, 2, 3)]
    again = [simulated(*SMALL, *FAULTS, f"scenario.seed={seed}").digest for seed in (1, 2, 3)]
    assert seeds == again
    assert len(set(seeds)) == len(seeds)


def test_hash_seeds_do_not_matter():
    digests = set()
    for hash_seed in ("0", "1", "4242"):
        env = os.environ | {"PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.getcwd()}
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM], env=env, capture_output=True, text=True, check=True
        )
        digests.add(done.stdout)
    assert len(digests) == 1


def test_where_a_partition_yields_does_not_matter():
    slow = simulated(*SMALL, "engine.yield_after=1ms")
    assert slow.digest == simulated(*SMALL, "engine.yield_after=60s").digest


def test_where_a_partition_yields_does_not_matter_to_schedules():
    slow = simulated(*SMALL, *SCHEDULED, "engine.yield_after=1ms")
    assert slow.digest == simulated(*SMALL, *SCHEDULED, "engine.yield_after=60s").digest


def test_where_a_partition_yields_does_not_matter_to_races():
    load = "workload=[{kind='hostile',size='64KiB',back=0.5}]"
    hostile = (*FAULTS, load, "fleet.hosts=4", "scenario.duration=4ms")
    slow = simulated(*hostile, "engine.yield_after=1ms")
    assert slow.digest == simulated(*hostile, "engine.yield_after=60s").digest


@pytest.mark.parametrize("rule", RULES)
def test_each_kind_of_rule_strikes_and_so_changes_the_digest(rule):
    assert simulated(*SMALL).digest != simulated(*SMALL, f"fault=[{rule}]").digest


def struck(*partitions):
    """How often each rule struck in partitions of these hosts, added up."""
    plan = simulate.prepare(scenario.decode("", "test.toml", [*SMALL, *SCHEDULED])).plan
    places = [place for place, hosts in enumerate(partitions) for _ in hosts]
    found = Counter[tuple[int, int, str]]()
    for place in range(len(partitions)):
        cut = Places(len(partitions), len(places), places)
        part = Partition(build, ENCODER.encode(plan), cut, place)
        while not part.advance(Order(FOREVER, 1.0)).finished:
            pass
        for rule, point, met, failed in unpack(part.watched())["faults"]:
            found.update({(rule, point, "met"): met, (rule, point, "struck"): failed})
    return found


def test_rules_strike_as_often_however_hosts_are_cut_into_partitions():
    whole = struck([0, 1, 2, 3])
    assert whole == struck([0, 1], [2, 3]) == struck([0], [1, 2], [3])
    assert all(whole[rule, 0, "struck"] for rule in range(len(RULES)))


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_several_files_on_an_inode_come_to_the_same_under_every_placement(placement):
    fleet = ("fleet.hosts=2", "fleet.vms_per_host=2", "vm.memory=64MiB", "vm.files_per_inode=3")
    load = "workload=[{kind='churn',touch=0.5,think='100us',size_max='8MiB'}]"
    files = ("scenario.conversions=60", *fleet, load, *FILES)
    assert in_pieces(*files, placement=placement).digest == simulated(*files).digest


def test_one_file_is_as_if_nobody_had_ever_heard_of_two():
    one = simulated(*SMALL, "vm.files_per_inode=1", "protocol.per_file=true").digest
    assert one == simulated(*SMALL).digest != simulated(*SMALL, "vm.files_per_inode=2").digest


def test_a_cost_changed_by_one_nanosecond_changes_the_digest():
    before = simulated(*SMALL, "costs.override.vfio_ioctl=2000ns").digest
    assert before != simulated(*SMALL, "costs.override.vfio_ioctl=2001ns").digest


def test_a_fault_that_strikes_changes_the_digest():
    assert simulated(*SMALL).digest != simulated(*SMALL, *FAULTS).digest


def test_a_host_more_changes_nothing_for_the_others():
    few = simulated("scenario.duration=2ms", "fleet.hosts=2").watched[0]["meter"]["timelines"]
    more = simulated("scenario.duration=2ms", "fleet.hosts=3").watched[0]["meter"]["timelines"]
    assert sorted(few) == sorted(few) and all(timeline in more for timeline in few)


def test_the_toy_fleet_is_the_same_whatever_the_seed_of_its_hashes():
    plan = ToyPlan(hosts=4, tokens=12, hops=40)
    first, second = toyed(Executor(), plan), toyed(Executor(yield_after=0.0), plan)
    assert first.digest == second.digest
    assert first.digest != toyed(Executor(), msgspec.structs.replace(plan, seed=2)).digest
