"""The reference witness traces of docs/domain.md section 13: their files, and that each shows what it has to show."""

import functools
import inspect
from typing import Any

import pytest

from actors import observations as o
from actors.contract import Reason
from actors.gmem.store import T_SPIN
from actors.tdx.states import Call, Entry, Status
from tests.helpers import PRIVATE, SHARED, World, runs
from tests.transcripts.playing import DATA, LEGEND, page
from tests.transcripts.remains import Remains
from tests.transcripts.scribe import Scribe
from tests.transcripts.witnesses import WITNESSES


@functools.cache
def seen(name: str) -> tuple[World, str]:
    """The world at its end, and the trace's file."""
    world = WITNESSES[name]()
    before = Remains(world)
    lines = Scribe(world).run()
    about = inspect.cleandoc(WITNESSES[name].__doc__ or "").split("\n\n")
    told = [" ".join(part.split()) for part in about]
    return world, page([told[0], "", *told[1:], "", *LEGEND], lines, before.told())


def witness(name: str) -> World:
    """The world at its end."""
    return seen(name)[0]


def ends(world: World) -> list[tuple[Reason, int]]:
    """(rc, first gfn not converted) of every ioctl."""
    return [(fact.reason, fact.offset) for fact in world.of(o.ConvertEnd)]


@pytest.mark.parametrize("name", WITNESSES)
def test_it_goes_as_its_trace_says(name, request):
    file, found = DATA / "witness" / f"{name}.txt", seen(name)[1]
    if request.config.getoption("--rewrite"):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(found, encoding="utf-8")
    assert found == file.read_text(encoding="utf-8")


def test_there_is_a_trace_for_every_witness_and_no_other():
    assert {name.partition("_")[0] for name in WITNESSES} == {f"X{n}" for n in range(1, 17)}
    assert {file.stem for file in (DATA / "witness").glob("*.txt")} == set(WITNESSES)


def test_x1_undo_leaves_the_page_unmapped_and_the_guest_dies_of_it():
    world = witness("X1")
    assert ends(world) == [(Reason.NO_MEMORY, 0)]
    assert world.inspector.counts["AN3"] == world.inspector.counts["AN1"] == 1
    order = [name for _, name, *_ in sorted(world.inspector.findings)]
    assert order.index("AN3") < order.index("AN1")
    met = world.of(o.GuestAccess)[-1]
    assert (met.start, met.end, met.share, met.ok) == (0, 1, PRIVATE, False)


def test_x2_success_is_reported_for_what_was_not_on_the_list():
    world = witness("X2")
    assert ends(world)[-1] == (Reason.NONE, -1)
    assert "AN19" in world.found
    assert [world.gmem().share.only(*part, SHARED) for part in ((0, 4), (6, 8))] == [True, True]
    assert [world.gmem().share.only(*part, PRIVATE) for part in ((4, 6), (8, 10))] == [True, True]


def test_x3_the_first_item_stays_zapped():
    world = witness("X3")
    assert ends(world)[-1] == (Reason.NO_MEMORY, 0x400)
    assert "AN3" in world.found
    assert world.td().sept.only(0x1F0, 0x200, 0)
    assert world.gmem().share.only(0x1F0, 0x200, PRIVATE)


def test_x4_one_host_pte_is_all_that_is_missing():
    world = witness("X4")
    assert ends(world)[-1] == (Reason.REFERENCES, 0x20)
    assert (world.found, world.inspector.counts["AN8"]) == ({"AN8"}, 1)
    assert [fact for fact in world.of(o.HostPte) if not fact.present][-1].start == 0x20


def test_x5_lru_batches_are_drained_once_and_it_succeeds():
    world = witness("X5")
    assert ends(world)[-1] == (Reason.NONE, -1)
    assert seen("X5")[1].count("PinsDecided") == 1
    assert (world.found, world.of(o.ReferencesFound)) == (set(), [])


def test_x6_the_page_is_lost_and_nothing_else():
    world = witness("X6")
    assert ends(world) == [(Reason.NO_MEMORY, 0)]
    assert {"AN1", "AN3"} <= world.found
    assert not {"AN5", "AN6", "AN7"} & world.found
    # Until the VM is gone no folio and no stash has changed.
    stopped = world.notebook.facts.index((at_stop(world), world.of(o.VmStopped)[0]))
    before = [fact for _, fact in world.notebook.facts[:stopped]]
    assert not [
        fact for fact in before if isinstance(fact, o.FolioOrder | o.Stashed | o.UndoFailed)
    ]


def at_stop(world: World) -> int:
    """When the VMM gave the VM up, ns."""
    return next(at for at, fact in world.notebook.facts if isinstance(fact, o.VmStopped))


def test_x7_the_first_batch_is_the_prefix():
    world = witness("X7")
    assert ends(world) == [(Reason.NO_MEMORY, 0x200)]
    assert world.of(o.ConvertEnd)[0].prefix and "AN22" in world.found
    assert runs(world.gmem().share) == [(0, SHARED), (0x200, PRIVATE)]


def stale_leaves(world: World) -> list[o.Leaf]:
    """Private leaves that were installed where the attribute said shared by then."""
    shared, found = {0: PRIVATE}, []
    for _, fact in world.notebook.facts:
        if isinstance(fact, o.ShareStored):
            shared[fact.start] = fact.to
        elif isinstance(fact, o.Leaf) and fact.level and fact.share is PRIVATE:
            found += [fact] if shared[0] is SHARED and fact.start == 0 else []
    return found


def test_x8_a_private_leaf_is_installed_under_a_shared_page():
    world = witness("X8")
    assert (len(stale_leaves(world)), world.found) == (1, {"AN20", "I17"})


def test_x8_with_the_store_first_it_is_not():
    world = witness("X8_store_first")
    assert (stale_leaves(world), world.found) == ([], set())


def test_x9_the_frame_is_somebody_elses_before_the_td_gives_it_up():
    world = witness("X9")
    assert "AN11" in world.found
    facts: list[Any] = [fact for _, fact in world.notebook.facts]
    reused = next(n for n, f in enumerate(facts) if isinstance(f, o.FramesReused))
    freed = [n for n, f in enumerate(facts) if isinstance(f, o.Sept) and f.start <= 7 < f.end]
    assert facts[reused].start <= 7 < facts[reused].end
    assert [facts[n].state for n in freed if n > reused] == [Entry.FREE]


def test_x10_guest_memfd_waits_for_the_reference_for_ever():
    world = witness("X10")
    assert [fact.waited for fact in world.of(o.Spinning)] == [T_SPIN]
    assert (ends(world), world.found) == ([], {"AN9", "L1", "L2"})
    assert [fact.start for fact in world.of(o.ReferenceKept)] == [7]
    assert world.answers == []  # nor is the next conversion of the folio


def test_x11_the_page_is_in_the_poison_list_and_nowhere_else():
    world = witness("X11")
    assert ends(world) == [(Reason.BUG, 7)]
    assert runs(world.gmem().poison) == [(0, 0), (7, 1), (8, 0)]
    assert world.kvm().dead and world.found == {"AN15"}
    assert (world.of(o.Spinning), [f.start for f in world.of(o.FramesKept)]) == ([], [0])


def test_x12_all_is_as_before_but_the_split_leaf():
    untouched = WITNESSES["X12"]().maps()
    world = witness("X12")
    assert (ends(world), world.found) == ([(Reason.TIMEOUT, 0)], {"AN15"})
    after = world.maps()
    assert {name for name in after if after[name] != untouched[name]} == {"sept", "mirror", "free"}
    assert [fact.leaves for fact in world.of(o.HugeLost)] == [1]


def test_x13_kvm_had_unmapped_when_the_iommu_failed():
    world = witness("X13")
    assert ends(world) == [(Reason.TIMEOUT, 0)]
    assert "AN3" in world.found and world.td().sept.only(0, 1, 0)


def test_x13_to_private_the_page_stays_shared_and_a_device_meets_nothing_there():
    world = witness("X13_to_private")
    assert ends(world)[-2:] == [(Reason.TIMEOUT, 0x20), (Reason.NONE, -1)]
    (domain,) = world.iommu().domains.values()
    assert (domain.only(0x20, 0x21, 0), world.gmem().share.get(0x20)) == (True, SHARED)
    assert [(fact.start, fact.end) for fact in world.of(o.DmarFault)] == [(0x20, 0x21)]
    assert "AN2" in world.found


def test_x14_two_pieces_are_converted_and_the_guest_is_told_of_the_third():
    world = witness("X14")
    assert world.found == {"AN16"}
    assert [fact.converted for fact in world.of(o.MapGpaFailed)] == [2 * 0x200]
    assert "MapGpaDone task=1 reason=ENOMEM resume=0x400" in seen("X14")[1]
    assert runs(world.gmem().share) == [(0, SHARED), (0x400, PRIVATE)]


def test_x15_the_second_listener_does_not_see_what_everybody_else_does():
    world = witness("X15")
    assert ends(world) == [(Reason.NONE, -1)]
    assert [answer.reason for answer in world.answers] == [Reason.NO_MEMORY]
    assert (world.vmm().bitmap.get(0), world.gmem().share.get(0)) == (SHARED, SHARED)
    mapped = [(fact.listener, fact.mapped) for fact in world.of(o.Dma)]
    assert (mapped, world.found) == ([(0, True)], {"AN18"})


def test_x16_one_busy_one_kick_and_the_retry_succeeds():
    world = witness("X16")
    statuses = [(fact.call, fact.status) for fact in world.of(o.SeamcallAnswered)]
    assert statuses[:2] == [(Call.BLOCK, Status.BUSY), (Call.BLOCK, Status.OK)]
    assert [status for _, status in statuses].count(Status.BUSY) == 1
    tracks = [call for call, _ in statuses].count(Call.TRACK)
    assert len(world.of(o.EpochDrained)) == tracks + 1
    assert (ends(world), world.found) == ([(Reason.NONE, -1)], set())
