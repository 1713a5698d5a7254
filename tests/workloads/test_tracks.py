"""Facts become rows of a timeline, and rows become trace events that nest; nothing is lost on the way back."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors import observations as o
from actors.address import GMEM, vm_address
from actors.contract import Consumer, Reason, Share
from actors.kvm.tickets import HOLE, NOTIFIER
from actors.locks.holders import ACCEPT_OP, FAULT_OP, HOST_FAULT_OP, INVALIDATION_OP, RELEASE_OP
from actors.locks.observations import LockAsked, LockLeft, LockWaited, TdxLocked
from actors.messages import ATTEMPT_BITS
from actors.tdx.states import RULES, Call, Cause, Lock, Status
from tests.helpers import World
from workloads import recorder
from workloads.checkers.tracks import (
    EDGES,
    KINDS,
    MARK,
    MARKS,
    OPEN,
    SPANS,
    TRACKS,
    Tracks,
    rows_of,
)
from workloads.checkers.words import holder
from workloads.errors import UsageError
from workloads.outcome.trace_events import Timeline, lanes, read_stories, text_of
from workloads.recorder import Recorder, rows

VM = vm_address(0, 3)
OTHER = vm_address(0, 4)
OP = 5 << ATTEMPT_BITS + 2
FILE = VM | GMEM
BEGIN = o.ConvertBegin(FILE, OP, 0, 512, Share.SHARED)
END = o.ConvertEnd(FILE, OP, Reason.BUSY, 3, False, 90)


def test_a_phase_is_a_span_that_ends_with_the_answer():
    fact = o.ConsumerReplied(FILE, OP, "prepare", Consumer.IOMMU, Reason.TIMEOUT, 30)
    assert rows_of([(100, fact)]) == [(70, 100, "iommu", "PREPARE, ETIMEDOUT")]


def test_a_conversion_is_a_span_from_its_begin_to_its_end():
    ((begin, end, track, text),) = rows_of([(10, BEGIN), (100, END)])
    assert (begin, end, track) == (10, 100, "guest_memfd")
    assert text == "task 5: gfn 0x0..0x200 (2 MiB) to shared, EBUSY"


def test_what_does_not_end_is_open_and_what_did_not_begin_is_no_span():
    (row,) = rows_of([(10, BEGIN)])
    assert row[:2] == (10, OPEN)
    assert rows_of([(10, END)]) == []


def test_locks_are_held_by_somebody_and_waited_for():
    facts = [
        (10, LockAsked(VM, "mmu_lock", OP, False)),
        (25, LockAsked(VM, "mmu_lock", FAULT_OP | 7, True)),
        (50, LockLeft(VM, "mmu_lock", OP, 40)),
        (50, LockWaited(VM, "mmu_lock", FAULT_OP | 7, 25)),
        (60, LockLeft(VM, "mmu_lock", FAULT_OP | 7, 35)),
    ]
    assert rows_of(facts) == [
        (10, 50, "mmu_lock", "held by task 5"),
        (25, 50, "mmu_lock: waiting", "somebody waits"),
        (50, 60, "mmu_lock", "held by a page fault"),
    ]


def test_a_lock_is_held_for_others_than_conversions_too():
    names = {
        RELEASE_OP | 2: "the last close",
        ACCEPT_OP | 7: "an ACCEPT",
        FAULT_OP | 7: "a page fault",
        HOST_FAULT_OP | 7: "a fault of the host's",
        INVALIDATION_OP | OP: "an invalidation",
        HOLE << ATTEMPT_BITS: "a hole",
        NOTIFIER << ATTEMPT_BITS: "an mmu_notifier",
    }
    assert {number: holder(number) for number in names} == names


def test_who_shares_a_lock_is_told_apart_by_number():
    one, two = FAULT_OP | 7, FAULT_OP | 8
    facts = [
        (10, LockAsked(VM, "mmu_lock", one, False)),
        (15, LockAsked(VM, "mmu_lock", two, False)),
        (20, LockAsked(VM, "ilock", one, False)),
        (30, LockLeft(VM, "mmu_lock", one, 20)),
        (40, LockLeft(VM, "ilock", one, 20)),
        (60, LockLeft(VM, "mmu_lock", two, 45)),
    ]
    spans = [(10, 30, "mmu_lock"), (15, 60, "mmu_lock"), (20, 40, "ilock")]
    assert [row[:3] for row in rows_of(facts)] == spans


def test_a_lock_that_was_held_for_no_time_is_not_shown():
    facts = [(10, LockAsked(VM, "ilock", OP, False)), (10, LockLeft(VM, "ilock", OP, 0))]
    assert rows_of(facts) == []


def test_a_lock_of_the_module_is_held_from_now_on():
    aug = o.SeamcallAnswered(VM, Call.AUG, 0, 1, Status.OK, OP, held=400)
    facts = [(100, aug), (600, TdxLocked(VM, "entries", "ACCEPT", 0, 1, 50))]
    assert rows_of(facts) == [
        (100, 500, "tdx: locks", "tree, shared: AUG, gfn 0x0..0x1 (4 KiB)"),
        (600, 650, "tdx: locks", "entries: ACCEPT, gfn 0x0..0x1 (4 KiB)"),
    ]


@pytest.fixture(scope="module")
def churned():
    """All facts of a VM that converts and uses its memory, with their times."""
    churn = 'workload=[{kind="churn",touch=1.0}]'
    world = World("scenario.conversions=60", "fleet.vms_per_host=1", churn, load=True)
    world.run()
    return world.notebook.facts


def test_every_lock_of_a_running_vm_is_given_back(churned):
    held: dict[tuple[int, str, int], int] = {}
    for _, fact in churned:
        if (type(fact) is LockAsked and not fact.waits) or type(fact) in (LockWaited, LockLeft):
            key = fact.vm, fact.lock, fact.op
            held[key] = held.get(key, 0) + (-1 if type(fact) is LockLeft else 1)
            assert held[key] in (0, 1), key
    faults = {(lock, op & FAULT_OP > 0) for _, lock, op in held}
    assert faults == {
        ("vmm", False),
        *((lock, by) for lock in ("ilock", "mmu_lock") for by in (0, 1)),
    }
    assert not any(held.values())


def test_what_the_module_holds_is_what_it_answers_busy_for(churned):
    """Nobody gets the tree exclusively while others share it."""
    held = [(at, f, RULES[f.call].tree) for at, f in churned if type(f) is o.SeamcallAnswered]
    alone = [(at, at + f.held) for at, f, tree in held if f.held and tree is Lock.EXCLUSIVE]
    others = [(at, at + f.held) for at, f, tree in held if f.held and tree is Lock.SHARED]
    assert alone and others
    assert all(end <= begin or last <= now for now, end in alone for begin, last in others)


def test_an_invalidation_at_the_iommu_goes_on_from_now():
    queued = o.IotlbQueued(0, 3, 2000, VM, 0, 1, 5000)
    ((begin, end, track, text),) = rows_of([(100, queued)])
    assert (begin, end, track) == (100, 5100, "iommu queue")
    assert "3 ahead, waits 0.002 ms" in text


@pytest.mark.parametrize(
    ("status", "cause", "words"),
    [
        (Status.BUSY, Cause.LOCK, "TDX_OPERAND_BUSY (a lock is held)"),
        (Status.BUSY, Cause.FAULT, "TDX_OPERAND_BUSY (injected)"),
        (Status.WRONG_STATE, Cause.CALLER, "(not as the caller took it for)"),
    ],
)
def test_a_seamcall_that_fails_is_a_mark_with_its_cause(status, cause, words):
    fact = o.SeamcallAnswered(VM, Call.BLOCK, 0, 1, status, OP, cause)
    ((at, end, track, text),) = rows_of([(7, fact)])
    assert (at, end, track) == (7, MARK, "tdx")
    assert words in text


def test_what_goes_well_and_comes_often_is_no_mark():
    fine = o.SeamcallAnswered(VM, Call.BLOCK, 0, 1, Status.OK, OP)
    used = o.GuestAccess(VM, 0, 1, Share.SHARED, True)
    assert rows_of([(1, fine), (2, used)]) == []


def test_a_kick_is_a_mark():
    assert rows_of([(9, o.EpochDrained(VM, 4, 1))]) == [
        (9, MARK, "tdx", "kick: 4 vCPUs had to leave the guest")
    ]


def test_every_track_has_its_place_and_what_is_told_twice_is_told_apart():
    assert set(MARKS.values()) <= set(TRACKS)
    twice = [kind for kind in KINDS if sum(kind in each for each in (SPANS, EDGES, MARKS)) > 1]
    assert set(twice) == {LockWaited, o.SeamcallAnswered}


# --- one VM's, as it goes ------------------------------------------------------------------------


def recorded(*facts):
    """What a recorder of VM makes of facts at 1, 2, 3 ..."""
    found = Recorder((VM,))
    table = found.watches()
    for now, fact in enumerate(facts, 1):
        table[type(fact)](now, fact)
    return rows(found.result()[0][1:])


def test_only_its_own_vm_is_recorded_and_whoever_has_its_inode_open():
    own = vm_address(0, 3) | 1 << 22
    facts = [o.VmmKilled(OTHER), o.VmmKilled(VM), o.VmmKilled(own)]
    assert [row[0] for row in recorded(*facts)[1]] == [2, 3]


def test_a_recorder_says_where_it_had_enough(monkeypatch):
    monkeypatch.setattr(recorder, "ROWS_MAX", 20)
    monkeypatch.setattr(recorder, "CHUNK", 10)
    cut, found = recorded(*[o.VmmKilled(VM)] * 50)
    assert (cut, len(found)) == (20, 20)
    assert recorded(*[o.VmmKilled(VM)] * 19)[0] == -1


# --- the format ----------------------------------------------------------------------------------

spans = st.builds(
    lambda begin, took, track: (begin, begin + took, track, "x"),
    st.integers(0, 300),
    st.integers(0, 50),
    st.sampled_from(TRACKS[:3]),
)
marks = st.builds(lambda at, track: (at, MARK, track, "m"), st.integers(0, 300), st.just("VM"))
still = st.builds(lambda at: (at, OPEN, "VM", "o"), st.integers(0, 300))


def nests(events):
    """Is each span of a thread within another one, or apart from it?"""
    ends: list[int] = []
    spans = [(round(e["ts"] * 1000), round(e["dur"] * 1000)) for e in events]
    for begin, took in sorted(spans, key=lambda span: (span[0], -span[1])):
        while ends and ends[-1] <= begin:
            ends.pop()
        if ends and begin + took > ends[-1]:
            return False
        ends.append(begin + took)
    return True


def assert_valid(text):
    """As the format wants it: known phases, names for all, spans that nest in their thread."""
    document = json.loads(text)
    threads: dict[tuple[int, int], list[dict[str, Any]]] = {}
    named = set()
    for event in document["traceEvents"]:
        assert event["ph"] in ("M", "X", "i"), "no B that would want an E"
        place = (event["pid"], event["tid"])
        if event["name"] == "thread_name":
            named.add(place)
        if event["ph"] == "X":
            assert event["dur"] >= 0
            threads.setdefault(place, []).append(event)
        if event["ph"] == "i":
            assert event["s"] == "t" and place in named
    assert threads.keys() <= named
    assert all(map(nests, threads.values()))
    return document["traceEvents"]


def test_the_judge_of_nesting_knows_what_overlaps():
    assert nests([{"ts": 0, "dur": 9}, {"ts": 3, "dur": 6}, {"ts": 9, "dur": 1}])
    assert not nests([{"ts": 0, "dur": 9}, {"ts": 3, "dur": 7}])


@settings(derandomize=True, max_examples=200)
@given(st.lists(st.one_of(spans, marks, still), max_size=40))
def test_whatever_overlaps_nests_in_its_thread_and_nothing_is_lost(found):
    events = assert_valid(text_of([Timeline("h0/v3", found)]))
    assert len([e for e in events if e["ph"] in "Xi"]) == len(found)


def test_what_overlaps_is_on_a_further_thread_of_its_track():
    names = [
        name for name, _ in lanes([(0, 5, "VM", "a"), (3, 9, "VM", "b"), (5, 6, "VM", "c")], 9)
    ]
    assert names == ["VM", "VM 2"]


def test_times_are_microseconds_to_the_nanosecond():
    events = assert_valid(text_of([Timeline("t", [(1_234_567, 1_234_568, "VM", "x")])]))
    assert (events[-1]["ts"], events[-1]["dur"]) == (1234.567, 0.001)


def test_a_file_can_be_read_back(tmp_path):
    path = tmp_path / "timelines.json"
    found = [(0, 5, "VM", "a"), (2, MARK, "tdx", "b")]
    path.write_text(text_of([Timeline("one", found), Timeline("two", found[:1])]))
    assert read_stories(path) == [Timeline("one", found), Timeline("two", found[:1])]


def test_results_of_before_have_none(tmp_path):
    assert read_stories(tmp_path / "timelines.json") == []


@pytest.mark.parametrize("text", ["", "{", '{"traceEvents": 3}', '{"traceEvents": [{"ph": 1}]}'])
def test_a_damaged_file_is_the_users_to_mend(text, tmp_path):
    path = tmp_path / "timelines.json"
    path.write_text(text)
    with pytest.raises(UsageError, match=r"timelines\.json: damaged"):
        read_stories(path)


def test_a_time_beyond_all_simulations_is_damage(tmp_path):
    path = tmp_path / "timelines.json"
    path.write_text('{"traceEvents":[{"ph":"X","pid":1,"tid":1,"name":"x","ts":1e300}]}')
    with pytest.raises(UsageError, match="damaged"):
        read_stories(path)


def test_facts_that_are_missing_are_passed_over():
    assert [row[0] for row in rows_of([(1, BEGIN), (1, None), (2, END)])] == [1]


def test_an_open_span_keeps_its_begin_in_the_tracks():
    tracks = Tracks()
    tracks.see(1, BEGIN)
    assert (tracks.rows, len(tracks.all())) == ([], 1)
