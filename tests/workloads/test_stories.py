"""One story of each kind of anomaly: what decides is in it, in order; it is short; its command leads there again."""

import functools
import json
import re
import shlex
import tempfile
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.helpers import World
from tests.negative import test_planted_bugs as planted
from workloads.checkers import ANOMALIES
from workloads.checkers.story import LINES_MAX
from workloads.cli import cli
from workloads.outcome import files, report

SMALL = ("scenario.conversions=200", "fleet.hosts=1", "fleet.vms_per_host=2")


class Case(NamedTuple):
    """An anomaly of a shipped scenario under a protocol, and what its story cannot do without."""

    id: str
    scenario: str
    protocol: str
    decisive: tuple[str, ...]
    overrides: tuple[str, ...] = ()


CASES = (
    Case("AN1", "claim-access-before-acceptance", "failable-notifier", (
        "gmem: takes ilock to convert gfn 0x6cf..0x8c7 (2016 KiB) to shared, task 3, piece 0",
        "kvm: REMOVE gfn 0x6cf..0x800 (1220 KiB): S-EPT BLOCKED -> FREE",
        "INJECTED by the fault plan: gmem.vmemmap, ENOMEM", "returns ENOMEM",
        "kvm: AUG gfn 0x6cf..0x800 (1220 KiB): S-EPT FREE -> PENDING",
        "guest: touches gfn 0x6cf..0x800 (1220 KiB), not accepted", "S-EPT was MAPPED and is PENDING")),
    Case("AN2", "claim-dmar-fault", "failable-notifier", (
        "to private, task 2", "iommu: unmaps gfn 0x133..0x168 (212 KiB) for device 0",
        "INJECTED by the fault plan: gmem.tree", "returns ENOMEM",
        "device 0: reads gfn 0x13f..0x140 (4 KiB), no translation: DMAR fault", "shared still")),
    Case("AN3", "claim-sept-not-restored", "undo", (
        "REMOVE", "INJECTED by the fault plan: gmem.tree", "fails with ENOMEM while storing",
        "returns ENOMEM", "was MAPPED in the S-EPT and is FREE")),
    Case("AN4", "claim-shareability-not-restored", "undo", (
        "private -> shared", "INJECTED by the fault plan: gmem.vmemmap", "restructuring",
        "INJECTED by the fault plan: gmem.undo_tree", "WARNING, the undo fails", "was private and is shared")),
    Case("AN5", "claim-filemap-not-restored", "undo", (
        "gmem.readd", "gmem.undo_readd", "-> none in the filemap", "WARNING, the undo fails",
        "was 2 MiB (order 9) and is none in the filemap")),
    Case("AN6", "claim-stash-not-restored", "undo", (
        "gmem.readd", "gmem.undo_restructure", "WARNING, the undo fails", "is split, its metadata in place")),
    Case("AN7", "claim-merge-not-restored", "undo", (
        "4 KiB (order 0) -> 2 MiB (order 9)", "gmem.undo_restructure", "WARNING, the undo fails",
        "was 4 KiB (order 0) and is 2 MiB (order 9)")),
    Case("AN8", "claim-host-page-table", "in-place-huge", (
        "mm: PTEs of gfn", "present -> none", "INJECTED by the fault plan: pins.long",
        "pins: long-term references on", "pins: says no to PREPARE, EAGAIN", "returns EAGAIN",
        "were present and are none")),
    Case("AN9", "claim-spin", "undo", (
        "INJECTED by the fault plan: tdx.bug", "tdx: REMOVE of", "kvm: KVM_BUG_ON in commit",
        "kvm: cannot unmap gfn 0x6d3..0x6d4 (4 KiB) and keeps a reference on it",
        "kvm: EFAULT while invalidating is DROPPED", "gmem: spins on references with ilock held, for 1000 ms")),
    Case("AN10", "claim-leaked-page", "failable-notifier", (
        "INJECTED by the fault plan: tdx.bug", "KVM_BUG_ON", "kvm: cannot unmap", "vmm: gives the VM up",
        "gmem: keeps pfn 0x1e04..0x1e05 (4 KiB) back", "nobody has their names")),
    Case("AN11", "claim-page-reused", "two-phase-untraced", (
        "gmem: decides to COMMIT", "INJECTED by the fault plan: tdx.bug", "KVM_BUG_ON",
        "kvm: cannot unmap", "and tells nobody", "returns success", "gmem: frees pfn",
        "allocator: gives pfn 0x0..0x2000 (32 MiB) to somebody else", "still in a secure EPT")),
    Case("AN12", "claim-retry-for-ever", "two-phase", (
        "vmm: tries again, try 1001", "INJECTED by the fault plan: pins.long", "pins: says no to PREPARE",
        "decides to ABORT", "returns EAGAIN", "vmm: tries again, try 1002", "has tried 1001 times in vain")),
    Case("AN13", "claim-no-fail-caller", "failable-notifier", (
        "mm: N2 iomap_write_failed invalidates gfn", "INJECTED by the fault plan: kvm.notifier",
        "mm: N2 iomap_write_failed gets ENOMEM from KVM's callback", "which cannot fail")),
    Case("AN14", "claim-oom-reaper", "failable-notifier", (
        "mm: __oom_reap_task_mm invalidates gfn", "INJECTED by the fault plan: kvm.notifier",
        "mm: __oom_reap_task_mm gets ENOMEM", "not EAGAIN")),
    Case("AN15", "claim-aborted-prepare", "two-phase", (
        "DEMOTE", "INJECTED by the fault plan: tdx.interrupted", "fails, TDX_INTERRUPTED_RESTARTABLE",
        "UNBLOCK", "kvm: says no to PREPARE, EINTR", "decides to ABORT", "stays split in 4 KiB")),
    Case("AN16", "claim-partial-mapgpa", "two-phase", (
        "task 1, piece 1", "INJECTED by the fault plan: gmem.tree", "returns ENOMEM",
        "guest: MapGPA of gfn 0x0..0x400 (4 MiB) fails: gfn 0x0..0x200 (2 MiB) is converted",
        "gfn 0x200..0x400 (2 MiB) did not")),
    Case("AN18", "quickstart", "two-phase", (
        "returns success", "vmm: marks gfn", "shared in its bitmap", "INJECTED by the fault plan: iommu.map",
        "vmm: cannot map the range for its devices, ENOMEM", "is shared and not mapped for the devices"),
        (*SMALL, 'fault=[{point="iommu.map",probability=0.3}]')),
    Case("AN19", "claim-false-success", "undo", (
        "INJECTED by the fault plan: gmem.work, ENOMEM", "gmem: ENOMEM while listing is DROPPED",
        "returns success", "is still private")),
    Case("AN20", "claim-window-rw1", "in-place-huge", (
        "kvm: a fault at gfn 0x0..0x1 (4 KiB) waits", "REMOVE", "private -> shared", "returns success",
        "waited", "for ilock", "AUG", "kvm: maps gfn 0x0..0x1 (4 KiB) by private leaves", "which is shared")),
    Case("AN21", "claim-backend-split", "in-place-huge", (
        "2 MiB (order 9) -> 4 KiB (order 0)", "under a leaf of 2 MiB")),
    Case("AN22", "claim-partial-prefix", "in-place-huge", (
        "stores the attribute of gfn 0x6cf..0x800 (1220 KiB): private -> shared",
        "INJECTED by the fault plan: kvm.split_memory", "kvm: says no to PREPARE, ENOMEM",
        "gfn 0x6cf..0x800 (1220 KiB) is shared after a refusal, gfn 0x800..0x8c7 (796 KiB) is not")),
    Case("AN23", "quickstart", "two-phase", (
        "decides to COMMIT", "the invalidation of gfn", "ahead of it", "behind others"),
        ("scenario.conversions=60", "fleet.hosts=1", "fleet.vms_per_host=4",
         'fault=[{point="iommu.timeout",probability=0.1}]')),
    Case("AN24", "quickstart", "two-phase", (
        "decides to COMMIT", "INJECTED by the fault plan: tdx.remove_busy", "fails, TDX_OPERAND_BUSY",
        "kvm: KVM_BUG_ON in commit, EBUSY: the VM is dead"),
        (*SMALL, 'fault=[{point="tdx.remove_busy",probability=0.3}]')),
    Case("AN25", "quickstart", "two-phase", (
        "INJECTED by the fault plan: pins.transient", "pins: short references on",
        "pins: says no to PREPARE, EAGAIN", "decides to ABORT", "returns EAGAIN"),
        (*SMALL, 'fault=[{point="pins.transient",probability=0.5}]', "costs.override.transient_ref=1ms")),
    Case("AN28", "quickstart", "two-phase", (
        "decides to COMMIT", "TDX_OPERAND_BUSY", "KVM_BUG_ON", "EBUSY after the point of no return"),
        (*SMALL, 'fault=[{point="tdx.remove_busy",probability=0.3}]')),
)  # fmt: skip
# What no shipped scenario shows is shown by a host that a test has in its hands.
BY_HAND = {
    "AN17": (
        "kvm, mm, pins, iommu: READY", "gmem: decides to COMMIT",
        "kvm: maps gfn 0x10..0x20 (64 KiB) by private leaves of 4 KiB", "after KVM had said READY",
    ),
    "AN26": ("gmem: takes ilock", "is wanted inside"),
    "AN27": (
        "returns success", "INJECTED by the fault plan: iommu.timeout",
        "iommu: ETIMEDOUT while unmap is DROPPED", "vmm: discards the shared pages",
        "device 0: writes gfn 0x10..0x20 (64 KiB)", "in pages that were discarded",
    ),
}  # fmt: skip


@pytest.fixture(autouse=True)
def unreported(monkeypatch):
    """The page is drawn for people, which takes longer than all the rest."""
    monkeypatch.setattr(report, "rebuild", lambda folder: folder)


def gmemsim(*words):
    """The first finding of each kind of a run, by id."""
    with tempfile.TemporaryDirectory() as folder:
        with pytest.raises(SystemExit):
            cli([*words, "--quiet", "--results", folder])
        (path,) = Path(folder).glob(f"*/latest/{files.ANOMALIES}")
        lines = map(json.loads, path.read_text().splitlines())
    return {line["id"]: line for line in reversed([*lines])}


@functools.cache
def found(case):
    """The case's first finding."""
    texts = [word for text in case.overrides for word in ("--set", text)]
    return gmemsim("run", case.scenario, "--protocol", case.protocol, *texts)[case.id]


def missing(decisive, lines):
    """The first of the texts that does not come after those before it."""
    story, at = "\n".join(lines), 0
    for text in decisive:
        place = story.find(text, at)
        if place < 0:
            return text
        at = place + len(text)
    return None


def by_id(case):
    return case.id


@pytest.mark.parametrize("case", CASES, ids=by_id)
def test_a_story_has_what_decides_in_order(case):
    lines = found(case)["story"]
    assert missing(case.decisive, lines) is None, "\n".join(lines)


@pytest.mark.parametrize("case", CASES, ids=by_id)
def test_a_story_is_short_and_says_every_range_with_its_size(case):
    lines = found(case)["story"]
    assert len(lines) <= LINES_MAX
    for line in lines:
        assert re.match(r" *[0-9]+\.[0-9]{4} ms \S| +\.\.\. |=> ", line)
        assert len(re.findall(r"0x[0-9a-f]+\.\.0x[0-9a-f]+", line)) == len(
            re.findall(r"[KMG]iB\)", line)
        )


@pytest.mark.parametrize("case", CASES, ids=by_id)
def test_the_command_under_a_story_leads_to_the_same(case):
    finding = found(case)
    name, *words = shlex.split(finding["replay"])
    assert name == "gmemsim"
    assert gmemsim(*words)[case.id] == finding


@pytest.mark.parametrize("name", BY_HAND)
def test_the_rest_is_told_as_well(name, monkeypatch):
    cases = [case for case in planted.CASES if name in case.ids.split()]
    shown = [case for case in planted.SHOWN if name in case[0].split()]
    if shown:
        _, run, overrides = shown[0]
        world = World(*overrides)
        run(world, True)
    else:
        world = World(*cases[0].overrides)
        cases[0].bug(world, monkeypatch)
        cases[0].run(world)
    lines = world.inspector.first[name][0][5]
    assert missing(BY_HAND[name], lines) is None, "\n".join(lines)
    assert len(lines) <= LINES_MAX


def test_every_anomaly_has_its_story():
    assert {*BY_HAND, *(case.id for case in CASES)} == {check.id for check in ANOMALIES}


# --- the command ---------------------------------------------------------------------------------


def replays(folder):
    """What the findings in a results folder say to run, and the first of them."""
    lines = [*map(json.loads, (folder / files.ANOMALIES).read_text().splitlines())]
    (command,) = {line["replay"] for line in lines}
    return shlex.split(command), lines[0]


def test_a_comparison_s_runs_say_their_protocol_and_what_it_needs_otherwise(tmp_path):
    with pytest.raises(SystemExit):
        cli(["compare", "claim-host-page-table", "--protocol", "in-place,undo", "--set",
             "vmm.retry=report", "--quiet", "--results", str(tmp_path)])  # fmt: skip
    for protocol in ("in-place", "undo"):
        words, first = replays(tmp_path / "claim-host-page-table" / "latest" / protocol)
        assert words[:5] == ["gmemsim", "run", "claim-host-page-table", "--protocol", protocol]
        assert ("vm.page_order=0" in words) == (protocol == "in-place")
        assert gmemsim(*words[1:])[first["id"]] == first


def test_of_several_seeds_each_says_its_own(tmp_path):
    words = ["run", "claim-false-success", "--protocol", "undo", "--seeds", "2", "--seed", "7"]
    with pytest.raises(SystemExit):
        cli([*words, "--quiet", "--results", str(tmp_path)])
    latest = tmp_path / "claim-false-success" / "latest"
    seeds = [replays(folder)[0][5:7] for folder in (latest, latest / "seed-8")]
    assert seeds == [["--seed", "7"], ["--seed", "8"]]


def test_what_is_not_shipped_is_replayed_from_its_folder_wherever_that_is(tmp_path):
    base = tmp_path / "a folder; with $signs"
    base.mkdir()
    own = base / "own.toml"
    own.write_text(
        'fault = [{point = "gmem.work"}]\n[scenario]\nconversions = 20\n[fleet]\nhosts = 1\nvms_per_host = 1\n'
    )
    with pytest.raises(SystemExit):
        cli(["run", str(own), "--protocol", "undo", "--quiet", "--results", str(base)])
    latest = (base / "own" / "latest").resolve()
    words, first = replays(latest)
    assert words == ["gmemsim", "run", str(latest / files.SCENARIO)]
    again = gmemsim(*words[1:])[first["id"]]
    assert {**again, "replay": ""} == {**first, "replay": ""}
