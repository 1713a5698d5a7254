"""Golden transcripts of every protocol. `pytest --rewrite` renews them; commit only what you can explain."""

import re

import pytest

from actors.contract import Reason
from actors.kvm import fault as kvm_fault
from actors.protocols import PROTOCOLS
from cluster.failures import failures_of
from tests.transcripts.index import PARTS, index
from tests.transcripts.playing import DATA, STORIES, played
from tests.transcripts.situations import SITUATIONS
from workloads.checkers.admitted import admitting

EACH = [(protocol, name) for protocol, stories in STORIES.items() for name in stories]
each = pytest.mark.parametrize(("protocol", "name"), EACH, ids=[f"{p}-{n}" for p, n in EACH])
every_protocol = pytest.mark.parametrize("protocol", PROTOCOLS)

# Rows of a table that no transcript can take, with the reason why not.
ROWS_NOT_TAKEN: dict[str, set[str]] = {}
# Failures that a protocol can only meet with mark = callback, and that are two-phase's then: told_by_callback has one.
WITH_CALLBACK = {
    ("committing", "kvm_mmu", Reason.REFERENCES),
    ("committing", "kvm_mmu", Reason.BUSY),
    ("committing", "iommu", Reason.TIMEOUT),
}
# With small folios the devices have small entries: their driver never waits for memory, and so never for too long.
NEVER_WAITS = {("checking", "iommu", Reason.DEAD)}
# The VMM's devices would have to be closed between two of its own calls.
BETWEEN_CALLS = {("map_again", "iommu", Reason.DEAD)}
NOT_SHOWN = {
    "in-place": NEVER_WAITS,
    "two-phase-refcount": WITH_CALLBACK,
    "two-phase-untraced": WITH_CALLBACK,
}
# What the next use of the range would show: by the guest, by a device.
LATER = {"AN1", "AN2"}
# What a host at rest may hold: a list of PTEs that nobody has asked for, descriptors that are somebody else's, and a
# walk that was refused before anything was frozen, until the next question.
AT_REST = {"host unmaps", "slots", "walks"}


@each
def test_a_conversion_goes_as_its_transcript_says(protocol, name, request):
    file, found = DATA / protocol / f"{name}.txt", played(protocol, name).text
    if request.config.getoption("--rewrite"):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(found, encoding="utf-8")
    assert found == file.read_text(encoding="utf-8")


def test_the_index_is_current(request):
    file = DATA / "README.md"
    if request.config.getoption("--rewrite"):
        file.write_text(index(), encoding="utf-8")
    assert index() == file.read_text(encoding="utf-8")


def test_every_part_of_the_index_has_its_table():
    titles = re.findall("^## (.*)$", index(), flags=re.MULTILINE)
    assert titles == [*PARTS.values()]


@each
def test_it_ends_as_its_story_says(protocol, name):
    story, found = STORIES[protocol][name], played(protocol, name)
    assert (found.reason, set(found.found)) == (story.reason, set(story.found.split()))
    assert (found.pending <= AT_REST) == (found.reason is not None)


@each
def test_a_story_claims_no_anomaly_that_is_not_found(protocol, name):
    story = STORIES[protocol][name]
    claimed = {*re.findall(r"\bAN\d+", story.story)}
    assert claimed - played(protocol, name).found <= LATER


@each
def test_nothing_is_found_that_the_protocol_does_not_admit(protocol, name):
    found = played(protocol, name).found
    assert [check for check in sorted(found) if protocol not in admitting(check)] == []


def test_there_is_no_transcript_without_its_situation():
    files = {(file.parent.name, file.stem) for file in DATA.glob("*/*.txt")}
    assert {(folder, name) for folder, name in files if folder != "witness"} == set(EACH)
    assert {name for _, name in EACH} == set(SITUATIONS)


def test_a_transcript_is_the_same_every_time():
    first = played("two-phase", "remove_bug").text
    played.cache_clear()
    assert played("two-phase", "remove_bug").text == first


@every_protocol
def test_every_row_of_the_table_is_taken(protocol):
    table = PROTOCOLS[protocol]
    rows = [*table.rows, *(row for variant in table.variants for row in variant.rows)]
    taken = {place(row) for name in STORIES[protocol] for row in played(protocol, name).rows}
    not_taken = {row.step for row in rows if place(row) not in taken}
    assert not_taken == ROWS_NOT_TAKEN.get(protocol, set())


def place(row):
    """Where it stands in the table, however many files' KVMs it asks."""
    return row.stage, row.event, row.to, row.step


@every_protocol
def test_everything_that_can_fail_fails_somewhere(protocol):
    allowed = {
        (phase, who, reason) for phase, who, found in failures_of(protocol) for reason in found
    }
    shown = {failure for name in STORIES[protocol] for failure in played(protocol, name).failures}
    assert allowed - shown == NOT_SHOWN.get(protocol, set()) | BETWEEN_CALLS
    assert shown <= allowed


@every_protocol
def test_every_seamcall_of_a_zap_is_busy_once_and_twice_and_a_split_is_interrupted(protocol):
    texts = [played(protocol, name).text for name in STORIES[protocol]]
    splits = protocol != "in-place"  # it has leaves of 4 KiB alone
    for call in ("BLOCK", "TRACK", "DEMOTE", "REMOVE") if splits else ("BLOCK", "TRACK", "REMOVE"):
        busy = {text.count(f"SeamcallDone {call} BUSY") for text in texts}
        assert max(busy) > 1, call
        assert 1 in busy or call in ("TRACK", "DEMOTE"), call
    assert any("SeamcallDone DEMOTE INTERRUPTED" in text for text in texts) == splits


@every_protocol
def test_a_poisoned_page_is_refused_by_whatever_protocol(protocol):
    assert played(protocol, "page_poisoned").reason is Reason.POISONED


def test_what_is_injected_says_so():
    told = [played(*one).text for one in EACH]
    assert sum("INJECTED" in text for text in told) > len(told) / 3
    assert "DROPPED ENOMEM of gmem" in played("undo", "no_list_item").text


@every_protocol
def test_each_direction_succeeds_and_is_refused(protocol):
    reasons = {
        (SITUATIONS[name].to, played(protocol, name).reason is Reason.NONE)
        for name in STORIES[protocol]
    }
    assert len(reasons) == 4


@every_protocol
@pytest.mark.parametrize("name", ["fault_while_frozen", "fault_after_thaw"])
def test_without_its_sequence_check_a_fault_goes_another_way(protocol, name, monkeypatch):
    """mmu_invalidate_retry left out: every protocol has stories that tell of it."""
    right = played(protocol, name)
    monkeypatch.setattr(kvm_fault, "locked", kvm_fault.augment)
    broken = played.__wrapped__(protocol, name)
    assert broken.text != right.text
    assert {"AN20"} <= broken.found


def test_every_reason_has_a_transcript():
    assert {played(*one).reason for one in EACH} == {*Reason, None}
