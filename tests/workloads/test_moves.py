"""Moves: what whole runs come to, who may move, and what is said of it."""

from typing import Any

import pytest

from actors.allocator import Allocator
from actors.fleet.admission import HELD
from actors.fleet.move_observations import HostEmptied, ImageTold, MoveChanged
from actors.gmem.folios import HOLE
from actors.gmem.inode import Gmem
from actors.observations import (
    Answered,
    DmaDone,
    FaultFailed,
    FramesTaken,
    MemoryTouched,
    NotifierCalled,
)
from cluster.label_sets import MOVE_OUTCOMES
from tests.fleets import LOADS, MOVING, Fleet
from tests.runs import simulated
from workloads import scenario
from workloads.errors import UsageError
from workloads.loads.moving import MovingLoad
from workloads.loads.programs import ChurnProgram
from workloads.loads.tenant import Moved
from workloads.moves import SECOND_NS, Drawn
from workloads.outcome import tables, terminal
from workloads.outcome.compare_rows import rows
from workloads.outcome.readings import readings
from workloads.outcome.summary import summarise
from workloads.scenario.kinds import KINDS
from workloads.simulate import prepare

BY_CHANCE = (
    *MOVING,
    "moves.kind=poisson",
    "moves.rate=80",
    "fleet.hosts=5",
    "arrivals.lifetime=60ms",
    "fleet.generations=16",
    "scenario.duration=150ms",
)
BROKEN = (
    *BY_CHANCE,
    'fault=[{point="move.transfer",probability=0.1},{point="move.refused",probability=0.2},'
    '{point="tdx.bug",probability=3e-4},{point="gmem.tree",probability=0.05}]',
)


def said(*overrides):
    return scenario.decode("", "test.toml", list(overrides))


def summary_of(*overrides):
    return summarise(said(*overrides), simulated(*overrides))


def test_moves_come_at_their_rate_and_choose_alike():
    found = Drawn(said(*BY_CHANCE, "moves.rate=4"))
    gaps = [found.wait(number) or 0 for number in range(4000)]
    assert sum(gaps) / len(gaps) == pytest.approx(SECOND_NS / 4, rel=0.05)
    picks = [found.pick(number, 3) for number in range(3000)]
    assert all(abs(picks.count(which) - 1000) < 100 for which in range(3)) and set(picks) == {
        0,
        1,
        2,
    }
    assert Drawn(said(*MOVING)).wait(0) is None


def test_a_host_is_emptied_and_taken_back():
    fleet = Fleet(*MOVING, "arrivals.policy=spread", "moves.hosts=[1,2]", "scenario.duration=180ms")
    fleet.run()
    assert [fact.host >> 24 for fact in fleet.of(HostEmptied)] == [1, 2]
    ended = [fact for fact in fleet.of(MoveChanged) if fact.phase.name == "RELEASED"]
    # Who went to host 2 moves on once that is emptied.
    assert len(ended) > len({fact.arrival for fact in ended})
    assert fleet.found == set()


@pytest.mark.parametrize("seed", range(1, 5))
@pytest.mark.parametrize("fleet", [MOVING, BROKEN], ids=["evacuated", "with faults"])
def test_whatever_happens_nothing_is_lost_and_nobody_forgotten(fleet, seed):
    summary = summary_of(*fleet, f"scenario.seed={seed}")
    made, requests = summary["moves"], summary["conversions"]
    assert made["begun"] == sum(made[name] for name in MOVE_OUTCOMES) > 0
    assert made["under_way"] == 0 and summary["invariant_violations"] == {}
    assert made["moved"] > 0 and summary["verdict"] == "valid"
    # Wherever a VM is asked for a conversion, it is counted once.
    assert requests["unfinished"] == 0 <= requests["cut_short"]
    if fleet is MOVING:
        assert requests["asked"] == requests["requested"] and summary["vms_lost"] == 0


def test_faults_of_all_kinds_have_their_outcomes():
    made = [summary_of(*BROKEN, f"scenario.seed={seed}")["moves"] for seed in range(1, 5)]
    total = {name: sum(found[name] for found in made) for name in MOVE_OUTCOMES}
    assert min(total[n] for n in ("moved", "no_place", "transfer_failed", "vm_gone")) > 0


@pytest.mark.parametrize(
    ("override", "outcome"),
    [
        ('fault=[{point="move.refused",probability=1.0}]', "no_place"),
        ('fault=[{point="move.transfer",probability=1.0}]', "transfer_failed"),
        (
            'fault=[{point="gmem.tree",hosts=[0,2],from="9ms",probability=1}]',
            "import_failed",
        ),
        ("moves.patience=1us", "not_quiet"),
    ],
)
def test_a_vm_whose_move_fails_goes_on_at_its_source(override, outcome):
    summary = summary_of(*MOVING, override)
    made = summary["moves"]
    assert made[outcome] == made["begun"] > 0 and summary["invariant_violations"] == {}
    assert summary["arrivals"]["left"] == 0
    answered = summary["conversions"]
    assert answered["completed"] > 20 and answered["unfinished"] == 0


@pytest.mark.parametrize("protocol", ["undo", "in-place-huge", "failable-notifier"])
def test_vms_move_under_every_protocol(protocol):
    summary = summary_of(*MOVING, f"protocol.name={protocol}", "vm.page_order=9")
    assert summary["moves"]["moved"] == summary["moves"]["begun"] > 0
    assert summary["invariant_violations"] == {}


def test_devices_see_at_the_target_what_they_saw_at_the_source():
    summary = summary_of(*MOVING, "vm.devices=1")
    assert summary["moves"]["moved"] > 0 and summary["invariant_violations"] == {}


def test_loads_of_every_kind_but_traces_are_tried():
    assert {*LOADS} == {*KINDS} - {"trace"}


@pytest.mark.parametrize("kind", LOADS)
def test_vms_move_whatever_they_do(kind):
    chosen = f"workload=[{{kind='{kind}',{LOADS[kind]}}}]"
    fleet = Fleet(*MOVING, chosen, "vm.devices=1", "moves.hosts=[1,0]")
    fleet.run()
    moved = [load for load in fleet.actors(MovingLoad) if load.image and load.origin]
    assert moved and fleet.found == set()
    told: list[Any] = [*fleet.of(Answered), *fleet.of(MemoryTouched), *fleet.of(NotifierCalled)]
    gone_on = {load.vm for load in moved} & {fact.vm for fact in told}
    assert gone_on or kind in ("boot", "shutdown")  # which have nothing to do between two times


def test_a_balloon_comes_along_and_is_emptied_where_it_is():
    load = f"workload=[{{kind='balloon',{LOADS['balloon']}}}]"
    fleet = Fleet(*MOVING, load, "moves.hosts=[1,0]", "scenario.duration=120ms")
    fleet.run()
    came = [fact for fact in fleet.of(ImageTold) if fact.arrives and fact.holes]
    assert came and fleet.found == set()
    filled = {fact.vm for fact in fleet.of(FramesTaken)}
    assert filled & {fact.vm for fact in came}
    # A host gives nobody else the frames of a hole, and keeps them for nobody who is gone.
    assert fleet.of(FaultFailed) == []
    gone = [gmem.folios.pages(0, 2048, HOLE) for gmem in fleet.actors(Gmem) if gmem.torn_down]
    held = [actor.frames.pages(0, 1 << 20, HELD) for actor in fleet.actors(Allocator)]
    assert sum(gone) > 0 and sum(held) == 0


def test_devices_are_silent_while_their_vm_travels_and_go_on_where_it_is():
    storm = f"workload=[{{kind='dma-storm',{LOADS['dma-storm']}}}]"
    fleet = Fleet(*MOVING, storm, "vm.devices=1")
    fleet.run()
    times: dict[int, list[int]] = {}
    for at, fact in fleet.notebook.facts:
        if isinstance(fact, DmaDone):
            times.setdefault(fact.vm, []).append(at)
    moved = [load for load in fleet.actors(MovingLoad) if load.image and load.origin]
    assert moved
    for load in moved:
        image = load.image
        assert image
        there, here = times[image.vm], times[load.vm]
        assert max(there) < image.paused + 100_000 and min(here) > max(there)
        rate = len(here) / (max(here) - min(here))
        assert rate == pytest.approx(4 * 2000 / SECOND_NS, rel=0.3)  # four streams, once


def test_a_vm_does_what_it_would_have_done_where_it_was():
    """The program is the VM's, not the place's: jobs come in the order in which they would have come."""
    fleet = Fleet(*MOVING)
    fleet.run()
    moved = [load for load in fleet.actors(MovingLoad) if load.image and load.origin]
    assert len(moved) == 2
    for load in moved:
        before, image = fleet.actor(load.origin), load.image
        assert image and isinstance(load.program, Moved) and load.vm != load.origin
        own = load.program.program
        assert isinstance(own, ChurnProgram) and own.keys == before.program.keys
        assert all(now >= then for now, then in zip(load.steps, image.steps, strict=True))


def test_the_link_decides_how_long_a_vm_stands_still():
    slow = summary_of(*MOVING, 'costs.override={"transfer_page"="6us","boot_fixed"="1ms"}')
    fast = summary_of(*MOVING, 'costs.override={"transfer_page"="1us","boot_fixed"="1ms"}')
    slow, fast = (found["moves"]["downtime_seconds"]["mean"] for found in (slow, fast))
    assert 5e-6 * 2048 * 0.5 < slow - fast < 5e-6 * 2048 * 2


# --- what is said --------------------------------------------------------------------------------


def test_the_terminal_and_comparisons_tell_of_moves():
    summary = summary_of(*MOVING)
    (text,) = [text for name, text in terminal.rows(summary) if name == "moves"]
    assert text.startswith("2 begun: 2 moved\nVMs stood still for: p50 ")
    assert "\nhosts emptied in: p50 " in text
    labels = [row.label for row in rows({"protocols": {"two-phase": summary}})]
    assert "VMs moved" in labels
    plain = summary_of("scenario.conversions=5", "fleet.hosts=1")
    assert "moves" not in plain and "moves" not in dict(terminal.rows(plain))


def test_the_report_has_a_section_where_vms_move():
    page = tables.moves(summary_of(*MOVING))
    assert "VMs that were to move to another host" in page and "VMs stood still" in page
    assert tables.moves(summary_of("scenario.conversions=5", "fleet.hosts=1")) == ""


def test_metrics_tell_of_moves():
    one = said(*BROKEN)
    outcome = simulated(*BROKEN)
    found = readings(one, outcome.watched, outcome.totals, "run", finished=True)
    made = summarise(one, outcome)["moves"]
    counted = found.values["gmemsim_vm_moves_total"]
    assert dict(counted) == {(name,): made[name] for name in MOVE_OUTCOMES}
    assert found.values["gmemsim_vm_moves_in_flight"][()] == 0
    assert found.bars["gmemsim_vm_move_downtime_seconds"][()].number > 0


def test_without_moves_nothing_is_different():
    arrive = [text for text in MOVING if not text.startswith("moves.")]
    quiet = simulated(*arrive)
    assert quiet.digest == simulated(*arrive, "moves.rate=9", "moves.patience=1s").digest
    assert quiet.digest != simulated(*MOVING).digest


# --- mistakes ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("override", "text"),
    [
        (
            "arrivals.kind=none",
            'moves.kind: found "evacuate", expected "none": nobody places VMs (arrivals.kind = "none")',
        ),
        ("fleet.hosts=1", 'fleet.hosts: found 1, expected 2 or more with moves.kind = "evacuate"'),
        (
            "moves.hosts=[]",
            'moves.hosts: found none, expected the hosts to evacuate with moves.kind = "evacuate"',
        ),
        ("moves.hosts=[1,0,1]", "moves.hosts: found 1 twice, expected each host once"),
        ("moves.hosts=3", "moves.hosts: found 3, expected numbers from 0 to 2"),
        (
            'workload=[{kind="trace",log=["td-boot-pid.log.gz"]}]',
            'workload.0.kind: found "trace", expected another kind with arrivals.kind = "closed"',
        ),
    ],
)
def test_what_cannot_move_is_a_mistake(override, text):
    with pytest.raises(UsageError) as raised:
        prepare(said(*MOVING, override))
    assert text in str(raised.value)


def test_a_guest_with_trusted_devices_does_not_move():
    trusted = ("vm.td_pinned=true", "vm.accept_level=4k")
    with pytest.raises(UsageError, match=r"vm\.td_pinned: found true, expected false with moves"):
        said(*MOVING, *trusted)
