"""Several files on one inode: other VMs' KVMs, whom guest_memfd tells and asks, and who does not wait for whom."""

import pytest

from actors import messages as m
from actors.address import GMEM, GUEST, KVM, VMM, file_address, vm_address
from actors.contract import KVMS, WORDS, Consumer, Fault, Reason, Trace
from actors.gmem import release as gmem_release
from actors.gmem.files import SharedInode
from actors.gmem.inode import Binding
from actors.guest.outcome import Outcome
from actors.intervals import IntervalMap
from actors.kvm.file import FileKvm
from actors.names import access_file, access_number, access_task, file_access
from actors.observations import (
    ConsumerReplied,
    Decided,
    FaultParked,
    FaultResumed,
    HugeLost,
    Leaf,
    ShareStored,
)
from actors.other_vm import OtherVm
from actors.protocols import PROTOCOLS, FileOptions, Options, key_of
from actors.protocols.table import ALL
from actors.protocols.table import KVM as OWNER
from actors.slots import Slot
from cluster.fault_points import CLASSES
from tests.helpers import LINK, PRIVATE, SHARED, Recorder, Sent, World, table
from workloads.checkers.admitted import admitting

VM = vm_address(0, 0)
OTHER = file_address(VM, 1)
FILE = VM | GMEM
OP = 3
START, END = 0x10, 0x14
TWO, THREE = "vm.files_per_inode=2", "vm.files_per_inode=3"
EVERY = pytest.mark.parametrize("protocol", PROTOCOLS)


def world_of(protocol, *overrides):
    small = ("vm.page_order=0", "vm.start=mapped-4k") if protocol == "in-place" else ()
    return World(f"protocol.name={protocol}", *small, *(overrides or (TWO,)))


def kvm(*shared):
    return FileKvm(OTHER, (Slot(0, 0x800, 0, 0),), True, table(), table(*shared))


def inode(files=2):
    """A file of 4 KiB folios, all of it shared."""
    name = key_of("two-phase", FileOptions(files=files))
    share, folios = table((0, 0x800, SHARED)), IntervalMap([0, 0x800], [0, -1])
    bindings = (Binding(0, 0, 0x800),)
    return SharedInode(FILE, name, bindings, 0, 10**9, 0, share, folios, table(), files=files)


# --- tables and numbers --------------------------------------------------------------------------


@EVERY
@pytest.mark.parametrize("files", [1, 2, 4])
def test_whoever_asks_kvm_asks_the_kvm_of_each_file(protocol, files):
    plain = PROTOCOLS[protocol].with_options(Options())
    found = PROTOCOLS[protocol].with_options(FileOptions(files=files))
    for before, after in zip(plain.rows, found.rows, strict=True):
        rest = tuple(c for c in before.who if c is not Consumer.KVM_MMU)
        assert set(after.who) == {*(KVMS[:files] if rest != before.who else ()), *rest}
        assert (after.stage, after.event, after.to) == (before.stage, before.event, before.to)
    assert (found == plain) == (files == 1)


def test_only_the_kvms_are_asked_in_turn():
    rows = PROTOCOLS["undo-split-first"].with_options(FileOptions()).rows
    asking = {row.action: row.who for row in rows if "prepare" in row.action}
    assert asking == {"prepare_in_turn": KVMS[:2], "prepare_next": ()}
    two_phase = PROTOCOLS["two-phase"].with_options(FileOptions()).rows
    assert {row.action for row in two_phase if row.who} == {
        "prepare_in_time",
        "decide_commit",
        "decide_abort",
    }


def test_every_kvm_is_a_kvm_in_metrics():
    assert {WORDS[kvm] for kvm in KVMS} == {WORDS[c] for c in OWNER} == {"kvm_mmu"}
    assert [WORDS[c] for c in ALL] == [c.name.lower() for c in ALL]


def test_an_access_says_from_which_file_it_comes():
    own = access_number((1 << 30) - 1, 0, (1 << 20) - 1)
    numbers = {file_access(own, file): file for file in range(4)}
    assert {access_file(number): access_task(number) for number in numbers} == dict.fromkeys(
        range(4), access_task(own)
    )
    assert len(numbers) == 4


# --- guest_memfd ---------------------------------------------------------------------------------


def test_an_invalidation_begins_and_ends_with_the_last_kvms_answer():
    file, context = inode(), Recorder()
    file.receive(m.Convert(OP, START, END, PRIVATE), context)
    file.receive(m.Reserved(OP, True), context)
    frozen = [sent for sent in context.take() if isinstance(sent.message, m.Freeze)]
    assert [sent.target for sent in frozen] == [VM | KVM, OTHER | KVM]
    file.receive(m.Frozen(OP), context)
    assert context.take() == []
    file.receive(m.Frozen(OP), context)
    asked = {sent.target for sent in context.take() if isinstance(sent.message, m.Prepare)}
    assert {VM | KVM, OTHER | KVM} < asked


def test_two_vms_faults_of_one_number_are_two_faults():
    file, context = inode(), Recorder()
    file.ilock.take(99, True, 0)
    own = access_number(7, START, START)
    for access in (own, file_access(own, 1)):
        file.receive(m.GetPfn(access, START, END, SHARED), context)
    assert context.take() == [] and len(file.faults) == 2
    file.drop(99, context)
    assert [(sent.target, sent.message.access) for sent in context.take()] == [
        (VM | KVM, own),
        (OTHER | KVM, file_access(own, 1)),
    ]


def test_frames_go_back_once_every_kvm_has_let_go():
    file, context = inode(), Recorder()
    file.receive(m.ReleaseFile(), context)
    for _ in gmem_release.HOLDERS:
        context.take()
        file.receive(m.TornDown(), context)
    closed = [(sent.target, sent.message) for sent in context.take()]
    teardown = m.Teardown(FILE, Trace.CALLBACK)
    assert closed == [(VM | KVM, teardown), (OTHER | KVM, teardown)]
    file.receive(m.TornDown(), context)
    assert not file.torn_down and context.take() == []
    file.receive(m.TornDown(), context)
    assert file.torn_down


# --- the other VM --------------------------------------------------------------------------------


def test_a_dead_vm_of_another_file_refuses_nothing():
    actor, context = kvm((START, END, 1)), Recorder()
    actor.receive(m.VmDead(), context)
    for to in (SHARED, PRIVATE):
        actor.receive(m.Prepare(FILE, OP, START, END, to), context)
        ready = m.Ready(OP, Consumer.KVM_FILE_1)
        assert context.take() == [Sent(FILE, ready, LINK)]
        del actor.walks[OP]


def test_it_refuses_only_to_split_and_only_by_injection():
    fault = Fault(Reason.NO_MEMORY, 0)
    for to, reply in ((SHARED, m.Refused), (PRIVATE, m.Ready)):
        actor, context = kvm(), Recorder({"kvm.file_split": fault})
        actor.receive(m.Prepare(FILE, OP, START, END, to), context)
        assert [type(message) for message in context.messages()] == [reply]


def test_what_is_private_is_not_its_vmms_to_convert():
    actor, context = kvm(), Recorder()
    actor.receive(m.Access(OTHER, 5, START, END, 1, False), context)
    assert context.take() == [Sent(FILE, m.GetPfn(5, START, END, SHARED), LINK)]
    actor.receive(m.GotPfn(5, Reason.REFERENCES, 0, 0), context)
    assert context.messages() == [m.Accessed(5, Outcome.FAILED)] and not actor.dead


def test_memory_that_has_failed_ends_the_vm_that_touches_it():
    actor, context = kvm(), Recorder()
    actor.receive(m.Access(OTHER, 5, START, END, 1, False), context)
    actor.receive(m.GotPfn(5, Reason.POISONED, 0, 0, True), context)
    told = {(sent.target, sent.message) for sent in context.take()}
    assert actor.dead and (OTHER | GUEST, m.VmDead()) in told


def test_its_vcpus_use_a_range_in_pieces_until_it_is_private():
    vcpus, context = OtherVm(OTHER, 2), Recorder()
    vcpus.receive(m.Touch(1, 0x100, 0x500, SHARED), context)
    places = []
    for outcome in (Outcome.DONE, Outcome.FAILED):
        (sent,) = context.take()
        places.append((sent.message.start, sent.message.end))
        vcpus.receive(m.Touch(1, 0x100, 0x500, SHARED), context)  # busy with that one
        vcpus.receive(m.Accessed(sent.message.access, outcome), context)
    assert places == [(0x100, 0x200), (0x200, 0x400)]
    assert context.take() == [] and vcpus.uses == {}


# --- conversions ---------------------------------------------------------------------------------


@EVERY
@pytest.mark.parametrize("files", [TWO, THREE])
def test_a_range_goes_there_and_back_in_all_vms(protocol, files):
    world = world_of(protocol, files)
    assert world.convert(START, END, SHARED) is Reason.NONE
    others = range(1, int(files[-1]))
    for file in others:
        world.use_elsewhere(START, END, file=file)
    world.run()
    assert all(world.kvm(file=file).shared_ept.only(START, END, 1) for file in others)
    assert world.convert(START, END, PRIVATE) is Reason.NONE
    assert all(world.kvm(file=file).shared_ept.only(START, END, 0) for file in others)
    assert world.found == set() and world.pending() == {}


@EVERY
def test_a_dead_vm_of_one_file_does_not_stop_the_others_conversions(protocol):
    world = world_of(protocol)
    world.convert(START, END, SHARED)
    world.use_elsewhere(START, END)
    world.run()
    world.post(KVM, m.VmDead(), file=1)
    assert world.convert(START, END, PRIVATE) is Reason.NONE
    assert world.convert(START, END, SHARED) is Reason.NONE
    assert world.kvm(file=1).shared_ept.only(START, END, 0) and world.found == set()


def test_another_vms_fault_in_a_frozen_range_waits_and_finds_it_private():
    world = World(TWO)
    world.convert(START, END, SHARED)
    world.request(START, END, PRIVATE)
    world.run_until(lambda: len(world.of(Decided)) == 2)
    world.use_elsewhere(START, END)
    world.run()
    assert [fact.vm for fact in world.of(FaultParked)] == [OTHER]
    assert [fact.vm for fact in world.of(FaultResumed)] == [OTHER]
    assert world.kvm(file=1).shared_ept.only(START, END, 0) and world.found == set()


def test_rw1_is_open_to_another_vm_too():
    """B2H ends the invalidation before it stores: a fault that looks then installs a stale leaf, whoever's it is."""
    world = World(TWO, "protocol.name=in-place-huge")
    world.convert(START, END, SHARED)
    world.request(START, END, PRIVATE)
    kvm = world.kvm(file=1)
    before = kvm.sequence
    world.run_until(lambda: kvm.sequence > before)
    world.use_elsewhere(START, END)
    world.run()
    assert {"AN20", "I17"} <= world.found


def test_freezing_late_is_undone_by_another_vms_fault():
    world = World(TWO, "protocol.freeze_at=commit")
    world.convert(START, END, SHARED)
    looked_up = list[m.GotPfn]()
    world.replace(KVM, m.GotPfn, lambda _, message, __: looked_up.append(message), file=1)
    world.use_elsewhere(START, END)
    world.run()
    world.restore(KVM, file=1)
    world.request(START, END, PRIVATE)
    world.run_until(lambda: bool(world.kvm(file=1).walks))
    world.post(KVM, looked_up[0], file=1)
    world.run()
    assert world.found == {"AN17"}
    assert world.kvm(file=1).shared_ept.only(START, END, 0)


@pytest.mark.parametrize("per_file", [True, False])
def test_the_second_files_split_may_fail_when_the_first_file_is_zapped(per_file):
    """B1 as the sketch of June 2025 had it, and with all files split first: only a huge mapping is lost."""
    chosen = f"protocol.per_file={str(per_file).lower()}"
    world = World(TWO, "protocol.name=undo-split-first", chosen)
    world.inject("kvm.file_split")
    assert world.convert(START, END, SHARED) is Reason.NO_MEMORY
    world.heal()
    world.touch(START, END, PRIVATE)
    world.run()
    lost = {"AN3", "AN1", "I11", "I13"} if per_file else set()
    assert world.found == {"AN15", *lost}
    assert len(world.of(HugeLost)) == 1 and not world.of(ShareStored)
    assert world.gmem().ilock.idle or per_file


@EVERY
@pytest.mark.parametrize("reason", CLASSES.values())
def test_whatever_a_file_refuses_for_the_run_ends_and_nothing_is_left_hanging(protocol, reason):
    world = world_of(protocol, THREE, "protocol.per_file=true", "vmm.retry=backoff")
    world.inject("kvm.file_split", probability=0.3, reason=reason)
    asked = []
    for turn, (start, end) in enumerate(((0x1F0, 0x410), (0x10, 0x20), (0x400, 0x800))):
        delay = 1 + 500 * turn
        asked += [world.ask(start, end, to, True, delay=delay) for to in (SHARED, PRIVATE)]
        for file in (1, 2):
            world.use_elsewhere(start, end, delay=100_000 * turn + 1, file=file)
    world.run()
    assert sorted(task for task, _ in world.tasks) == sorted(asked)
    assert world.pending() == {}
    assert {name for name in world.found if protocol not in admitting(name)} == set()


def test_what_one_kvm_cannot_split_under_b_is_no_reason_to_pass_over_the_next():
    world = World(THREE, "protocol.name=undo")
    world.inject("kvm.file_split", "kvm.split_memory")
    assert world.convert(START, END, SHARED) is Reason.NONE
    asked = {fact.consumer for fact in world.of(ConsumerReplied)}
    assert set(KVMS[:3]) <= asked


def test_a_bad_frame_is_unmapped_in_every_vm():
    world = World(TWO)
    world.convert(START, END, SHARED)
    world.use_elsewhere(START, END)
    world.run()
    world.post(GMEM, m.MemoryFailure(START))
    world.run()
    assert world.kvm(file=1).shared_ept.get(START) == 0
    world.use_elsewhere(START, START + 1)
    world.run()
    assert world.kvm(file=1).dead and not world.kvm().dead
    assert world.found == set() and world.pending() == {}


def test_the_owners_end_is_the_end_of_what_others_map():
    world = World(TWO)
    world.convert(START, END, SHARED)
    world.use_elsewhere(START, END)
    world.run()
    gone = len(world.of(Leaf))
    world.post(VMM, m.VmDead())
    world.run()
    assert any(leaf.vm == OTHER and not leaf.level for leaf in world.of(Leaf)[gone:])
    assert world.gmem().torn_down and world.found == set()


def test_other_vms_use_what_the_load_shares():
    churn = "workload=[{kind='churn',touch=0.5,think='100us',size_max='2MiB'}]"
    world = World(TWO, churn, "scenario.conversions=100", "vm.memory=64MiB", load=True)
    world.run()
    assert [fact.vm for fact in world.of(Leaf)].count(OTHER) > 50
    assert OTHER in {fact.vm for fact in world.of(FaultParked)}
    assert world.found == set() and world.pending() == {}
