"""How a finding is told: from facts to lines, from lines to file, terminal and report."""

import json
import re

import pytest

from actors import messages as m
from actors import observations as o
from actors.address import HOST_MAP, PINS
from actors.notifier_sites import MM_CHAINS
from cluster.partition import FOREVER, Order, Partition
from cluster.placement import Places
from tests.helpers import PRIVATE, SHARED, World
from tests.runs import SMALL, simulated
from tests.workloads.small_runs import decode, outcome, word
from workloads.checkers import story, words
from workloads.fleet import build
from workloads.outcome.files import ANOMALIES, FindingLine
from workloads.outcome.folder import open_folder, write
from workloads.outcome.read import read_findings
from workloads.outcome.stories import stories
from workloads.outcome.summary import summarise
from workloads.outcome.tally import tally
from workloads.outcome.terminal import show
from workloads.plan import ENCODER
from workloads.simulate import prepare, unpack

START, END = 0x10, 0x20


def told(world, check):
    """The story of the first finding of this check, without its times."""
    found = world.inspector.first[check][0]
    return [re.sub(r"^ *([0-9.]+ ms )?", "", line) for line in found[5]]


@pytest.fixture(scope="module")
def undone():
    """RFC v2: the split folio cannot be added again, nor can the one it was."""
    world = World("protocol.name=undo")
    world.inject("gmem.readd", "gmem.undo_readd")
    world.convert(START, END, SHARED)
    return world


def test_a_story_says_who_did_what_with_the_state_before_and_after(undone):
    assert told(undone, "AN5") == [
        "gmem: takes ilock to convert gfn 0x10..0x20 (64 KiB) to shared, task 268435457",
        "kvm: invalidation of gfn 0x0..0x200 (2 MiB) begins, faults wait",
        "kvm: BLOCK gfn 0x0..0x200 (2 MiB): S-EPT MAPPED -> BLOCKED",
        "kvm: DEMOTE gfn 0x0..0x200 (2 MiB): S-EPT BLOCKED -> MAPPED in 4 KiB",
        "kvm: maps gfn 0x0..0x200 (2 MiB) by private leaves of 4 KiB",
        "kvm: has split a leaf of 2 MiB",
        "kvm: BLOCK gfn 0x10..0x20 (64 KiB): S-EPT MAPPED -> BLOCKED",
        "kvm: REMOVE gfn 0x10..0x20 (64 KiB): S-EPT BLOCKED -> FREE",
        "kvm: unmapped",
        "gmem: stores the attribute of gfn 0x10..0x20 (64 KiB): private -> shared",
        "INJECTED by the fault plan: gmem.readd, ENOMEM",
        "gmem: fails with ENOMEM while restructuring",
        "INJECTED by the fault plan: gmem.undo_readd, ENOMEM",
        "gmem: folios of gfn 0x0..0x200 (2 MiB): 2 MiB (order 9) -> none in the filemap",
        "gmem: hugetlb metadata of gfn 0x0..0x200 (2 MiB): in place -> set aside",
        "gmem: WARNING, the undo fails: the folio cannot be added to the filemap again",
        "gmem: stores the attribute of gfn 0x10..0x20 (64 KiB): shared -> private",
        "kvm: invalidation ends",
        "gmem: returns ENOMEM, drops ilock",
        "=> AN5, folio missing from the filemap: the folio of gfn 0x0..0x200 (2 MiB) was 2 MiB (order 9) "
        "and is none in the filemap",
    ]


def test_its_times_are_simulated_and_go_on(undone):
    lines = undone.inspector.first["AN5"][0][5]
    times = [float(line.partition(" ms ")[0]) for line in lines[:-1]]
    assert times == sorted(times)
    assert times[-1] - times[0] == pytest.approx(undone.of(o.ConvertEnd)[0].held / 1e6, abs=1e-4)


def test_all_findings_of_one_conversion_tell_the_same_and_each_says_what_it_found(undone):
    stories = [first[0][5] for first in undone.inspector.first.values()]
    assert len({tuple(lines[:-1]) for lines in stories}) == 1
    assert len({lines[-1] for lines in stories}) == len(stories)


def test_a_guest_that_dies_of_an_earlier_refusal_is_told_of_that_refusal():
    world = World("protocol.name=in-place-huge", "vm.reaction=keep-private")
    world.inject("gmem.vmemmap")
    world.ask(START, END, SHARED, use=True)
    world.run()
    lines = told(world, "AN1")
    assert "gmem: returns ENOMEM, drops ilock" in lines
    assert lines[-2] == "guest: touches gfn 0x10..0x20 (64 KiB), not accepted: fatal to the TD"


def test_a_refusal_before_another_conversion_is_remembered():
    world = World("protocol.name=in-place-huge")
    world.inject("gmem.vmemmap")
    world.convert(START, END, SHARED)
    world.heal()
    world.convert(0x400, 0x420, SHARED)
    world.touch(START, END, PRIVATE)
    world.run()
    lines = told(world, "AN1")
    assert "gfn 0x10..0x20 (64 KiB) to shared" in lines[0]
    assert lines[-2].startswith("guest: touches")
    assert not any("0x400" in line for line in lines)


def test_what_comes_after_a_conversion_is_told_too():
    bug = 'fault=[{point="tdx.bug",nth=[3]}]'
    world = World("protocol.name=two-phase-untraced", bug)
    world.convert(START, END, SHARED)
    lines = told(world, "AN11")
    assert lines[-2] == "allocator: gives pfn 0x0..0x800 (8 MiB) to somebody else"
    assert "vmm: gives the VM up" in lines


@pytest.mark.parametrize("check", ["L1", "L2"])
def test_what_never_ends_has_a_story_as_well(check):
    world = World("protocol.name=two-phase-refcount")
    world.inject("tdx.bug")
    world.request(START, END, SHARED)
    world.run(world.host.now + 3 * 10**9)
    (found,) = [f for f in world.inspector.result()["open_findings"] if f[1] == check]
    assert found[5][-2].endswith("gmem: spins on references with ilock held, for 1000 ms so far")


def test_a_long_story_is_cut_in_its_middle():
    world = World("vmm.retry=spin")
    world.convert(0, 0x600, SHARED)
    world.post(PINS, m.TakePin(START, END, 10**15))
    for _ in range(3):
        world.request(0, 0x600, PRIVATE)
    world.run(world.host.now + 10**8)
    lines = world.inspector.first["AN12"][0][5]
    assert len(lines) <= story.LINES_MAX


def test_of_a_conversion_of_many_steps_what_decides_is_known():
    world = World("vm.memory=256MiB", "protocol.name=two-phase-untraced")
    world.request(0, 0x8000, SHARED)
    world.run_until(lambda: len(world.of(o.Sept)) > 2 * story.KEPT)
    world.inject("tdx.bug")
    world.run()
    lines = told(world, "AN11")
    assert "gfn 0x0..0x8000 (128 MiB) to shared" in lines[0]
    assert "gmem: decides to COMMIT" in lines
    assert story.NOT_KEPT in lines or any("more events" in line for line in lines)
    assert any("INJECTED by the fault plan: tdx.bug" in line for line in lines)
    assert any(line.startswith("kvm: KVM_BUG_ON") for line in lines)
    assert len(lines) <= story.LINES_MAX


def test_every_kind_that_is_told_has_words():
    world = World("protocol.name=undo", "vm.start=unaccepted")
    world.touch(0, 0x400, PRIVATE)
    world.ask(START, END, SHARED, use=True)
    world.run()
    world.inject("pins.transient")
    world.convert(START, END, PRIVATE)
    facts = [fact for _, fact in world.notebook.facts if type(fact) in story.KINDS]
    assert all(words.sentence(fact, {}) for fact in facts)
    assert len({type(fact) for fact in facts}) > 15


def test_where_the_state_before_is_not_known_the_story_does_not_say_it():
    blocked, free = (o.Sept(256, START, END, state, 1, START) for state in (3, 0))
    assert words.sentence(blocked, {}) == "kvm: BLOCK gfn 0x10..0x20 (64 KiB): S-EPT -> BLOCKED"
    assert words.sentence(free, {}) == ("tdx: entries of gfn 0x10..0x20 (64 KiB): S-EPT -> FREE")


# --- the same on every executor ----------------------------------------------------------------------

OFTEN = 'fault=[{point="iommu.map",probability=0.3},{point="tdx.interrupted",probability=0.2}]'


def words_of(*groups):
    """What partitions with these hosts have seen of one run."""
    plan = ENCODER.encode(prepare(decode(*SMALL, OFTEN)).plan)
    places = [next(n for n, group in enumerate(groups) if host in group) for host in range(4)]
    found = []
    for place in range(len(groups)):
        partition = Partition(build, plan, Places(len(groups), 4, places), place)
        partition.advance(Order(FOREVER, 1e9))
        found.append(unpack(partition.watched()))
    return found


def test_findings_and_their_stories_do_not_depend_on_partitions():
    whole = tally(words_of((0, 1, 2, 3)), "two-phase").findings
    assert whole and all(line["story"] for line in whole)
    assert tally(words_of((0, 3), (1, 2)), "two-phase").findings == whole
    assert tally(words_of((0,), (1,), (2,), (3,)), "two-phase").findings == whole


def test_no_more_is_kept_than_is_shown():
    found = simulated(*SMALL, OFTEN)
    (seen,) = found.watched
    kept = [name for _, name, *_ in seen["inspector"]["findings"]]
    assert max(map(kept.count, kept)) <= 5 < max(seen["inspector"]["counts"].values())


# --- where it is shown -------------------------------------------------------------------------------

LINES = [
    "0.0110 ms gmem: takes ilock <for> op 1.0",
    "0.0140 ms kvm: INV_BEGIN 0x0..0x200, faults wait",
]
FINDING = [2_000_000, "AN3", 1024, 41, "gfn 0x10..0x20 was MAPPED and is BLOCKED", LINES]


@pytest.fixture
def written(tmp_path):
    found = outcome(word([(1, False)], findings=[FINDING]))
    folder = open_folder(tmp_path, "small", 1)
    summary = summarise(decode(), found)
    write(folder, decode(), summary, found, "")
    return folder, summary


def test_each_finding_has_its_story_and_the_command_that_replays_it(written):
    folder, _ = written
    (line,) = map(json.loads, (folder / ANOMALIES).read_text().splitlines())
    assert (line["story"], line["replay"]) == (LINES, f"gmemsim run {folder}/scenario.toml")


def test_the_summary_has_the_first_finding_that_is_excluded(written):
    _, summary = written
    assert (summary["counterexample"]["id"], summary["counterexample"]["story"]) == ("AN3", LINES)


def test_a_valid_run_has_no_counterexample():
    seen = word([(1, False)], findings=[[1, "AN15", 256, 7, "split", LINES]])
    assert "counterexample" not in summarise(decode(), outcome(seen))


def test_the_terminal_tells_it_under_the_verdict(written, capsys):
    folder, summary = written
    show(summary, folder)
    text = capsys.readouterr().out
    after = text.index("How AN3 (S-EPT mapping not restored) came about in h0/v3:")
    assert text.index("VIOLATED") < after < text.index(LINES[0]) < text.index("again: gmemsim run")
    assert text.index("again: gmemsim run") < text.index("conversions ")


def test_the_report_unfolds_it(written):
    text = (written[0] / "report.html").read_text()
    assert (
        "<summary>How AN3 (S-EPT mapping not restored) came about in h0/v3, 2.00 ms</summary>"
        in text
    )
    assert "takes ilock &lt;for&gt; op 1.0\n0.0140 ms kvm" in text
    assert f"\n\nagain: gmemsim run {written[0]}/scenario.toml</pre>" in text


def test_the_report_tells_a_story_once_for_all_that_was_found_by_it():
    def line(name, vm="h0/v3", facts=("takes ilock", "drops ilock"), replay="gmemsim run it"):
        story = (*facts, f"=> {name}, what it is")
        return FindingLine(0.002, name, vm, 41, "text", True, story, replay)

    other = line("I13", facts=("takes ilock",))
    found = [line("AN3"), line("I11"), line("AN3"), other, line("I11", vm="h1/v0")]
    one, two, three = stories([*found, FindingLine(1, "L1", "h0/v0", None, "untold", False)])
    both = "AN3 (S-EPT mapping not restored), I11 (after a failure every mapped secure EPT entry is mapped)"
    assert f"<summary>How {both} came about in h0/v3, 2.00 ms</summary>" in one
    assert one.count("takes ilock") == one.count("gmemsim run it") == 1
    assert (
        "drops ilock\n=&gt; AN3, what it is\n=&gt; I11, what it is\n\nagain: gmemsim run it" in one
    )
    assert "How I13 (" in two and "How I11 (" in three and "came about in h1/v0" in three


def test_findings_of_older_results_are_read_without_stories(tmp_path):
    file = tmp_path / ANOMALIES
    line = '{"time_seconds":1.0,"id":"AN15","vm":"h0/v0","op":null,"text":"x","admitted":true}\n'
    file.write_text(line)
    (found,) = read_findings(file)
    assert (found.story, found.replay) == ((), "")


def test_a_story_tells_of_another_walk_that_took_a_leaf_first():
    world = World()
    world.ask(0, 0x400, SHARED, use=True)
    world.run()
    world.inject("iommu.timeout")
    world.request(0, 0x400, PRIVATE)
    world.run_until(lambda: len(world.of(o.Decided)) == 3)
    world.post(HOST_MAP, m.NotifierCall(MM_CHAINS[2].number, 0x200, 0x210))
    world.run()
    lines = told(world, "AN28")
    first = lines.index("kvm: zaps the shared leaves of gfn 0x200..0x210 (64 KiB)")
    assert lines[first + 1 : first + 3] == [
        "kvm: finds gfn 0x200..0x210 (64 KiB) gone under mmu_lock, another walk was first",
        "kvm: zaps the shared leaves of gfn 0x210..0x400 (1984 KiB)",
    ]


def test_leaves_that_somebody_has_split_are_told_apart_from_leaves_that_are_gone():
    said = [words.WORDS[o.WalkOvertaken](o.WalkOvertaken(1, 2, 0, 512, level)) for level in (0, 1)]
    assert [("gone" in text, "split" in text) for text in said] == [(True, False), (False, True)]
