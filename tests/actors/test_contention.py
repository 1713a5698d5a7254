"""BUSY by chance: from outside the model in either mode, and by rate instead of by the locks that are held."""

import pytest

from actors import messages as m
from actors.contract import Fault, Reason
from actors.observations import SeamcallAnswered, VmBugged
from actors.tdx import guest as tdx_guest
from actors.tdx.contention import ACCEPTING, BACKGROUND, STORM, Contention
from actors.tdx.states import LEVEL_4K, RULES, Call, Entry, Status
from tests.actors.test_tdx_module import HELD, LEGAL, VM, answer, call, module
from tests.helpers import COST, PRIVATE, SHARED, Recorder, World
from workloads import cost_table
from workloads.scenario import Vm

RATE = "vm.busy=rate"
CERTAIN = ("vm.busy_accepting=1", "vm.busy_storm=1")
MOVING = [call for call, rule in RULES.items() if rule.moves]


def by_rate(*arguments, **fields):
    tdx, td = module(*arguments, **fields)
    tdx.by_rate = Contention()
    return tdx, td


def asked(tdx, message, now=0):
    """The fault points that the call comes to."""
    context = Recorder()
    context.now = now
    tdx.on_seamcall(message, context)
    return [point for point, _, _ in context.asked]


# --- by rate -------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", MOVING, ids=lambda what: what.name)
@pytest.mark.parametrize("lock", HELD)
def test_by_rate_no_lock_that_is_held_makes_a_call_busy(lock, what):
    before = next(state for moved, state in LEGAL if moved == what)
    times = {lock: 100, "entry_end": 8} if lock == "entry_until" else {lock: 100}
    tdx, _ = by_rate(before, **times)
    assert answer(tdx, call(what))[0] is Status.OK


def test_an_epoch_that_is_not_drained_is_busy_by_rate_too():
    tdx, _ = by_rate(epoch=2, drained=1)
    assert answer(tdx, call(Call.TRACK, end=1))[0] is Status.BUSY


def test_a_block_meets_the_rate_of_what_vcpus_are_at():
    tdx, td = by_rate(Entry.PENDING)
    block = call(Call.BLOCK)
    assert asked(tdx, block) == list(RULES[Call.BLOCK].points)
    for ticking, expected in ((0, ACCEPTING), (4, STORM)):
        td.sept.set(0, 8, Entry.PENDING | LEVEL_4K << 3)
        accept = m.Access(VM, 9, 0, 4, LEVEL_4K, accept=True, ticking=ticking)
        tdx_guest.on_access(tdx, accept, Recorder(costs={"aug_accept_4k_storm": 3 * COST}))
        assert asked(tdx, block)[0] == expected
    assert asked(tdx, block, now=10 * COST) == list(RULES[Call.BLOCK].points)


def test_a_fault_that_is_served_counts_as_accepting():
    tdx, _ = by_rate(Entry.FREE)
    answer(tdx, call(Call.AUG))
    assert asked(tdx, call(Call.BLOCK))[0] == ACCEPTING


def test_by_state_no_rate_is_asked():
    tdx, _ = module(Entry.FREE)
    answer(tdx, call(Call.AUG))
    assert not {ACCEPTING, STORM} & set(asked(tdx, call(Call.BLOCK)))


@pytest.mark.parametrize(("overrides", "busy"), [(CERTAIN, True), ((), False)])
def test_a_conversion_beside_an_accept_meets_it_once_and_succeeds_at_the_retry(overrides, busy):
    world = World(RATE, "vm.start=unaccepted", "vm.accept_level=4k", *overrides)
    world.touch(0, 0x200, PRIVATE)
    world.run()
    world.touch(0x400, 0x600, PRIVATE)
    world.request(0, 0x10, SHARED)
    world.run()
    blocks = [fact.status for fact in world.of(SeamcallAnswered) if fact.call == Call.BLOCK]
    assert blocks[:2] == ([Status.BUSY, Status.OK] if busy else [Status.OK])
    assert world.answers[-1].reason is Reason.NONE
    assert world.found == set()


# --- background ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "what", [c for c in Call if c not in (Call.UNBLOCK, Call.RECLAIM)], ids=lambda c: c.name
)
def test_every_first_try_may_meet_the_background_and_no_retry_does(what):
    before = next((state for moved, state in LEGAL if moved == what), Entry.MAPPED)
    for attempt in (0, 1):
        tdx, _ = module(before)
        assert (BACKGROUND in asked(tdx, call(what, attempt=attempt))) == (attempt == 0)


def test_the_background_strikes_within_a_batch():
    tdx, _ = module(Entry.MAPPED)
    context = Recorder({BACKGROUND: Fault(Reason.BUSY, 3)})
    assert answer(tdx, call(Call.BLOCK), context) == (Status.BUSY, 3)


def test_a_background_that_never_rests_costs_kicks_and_no_vm():
    world = World("vm.busy_background=1")
    assert world.convert(0x10, 0x20, SHARED) is Reason.NONE
    assert (world.of(VmBugged), world.found) == ([], set())


def fates(protocol):
    """(op, first page) of each first BLOCK -> what it was answered."""
    world = World(f"protocol.name={protocol}", RATE, "vm.busy_background=0.3")
    for start in range(0, 0x800, 0x40):
        world.request(start, start + 0x20, SHARED)
    world.run()
    found: dict[tuple[int, int], int] = {}
    for fact in world.of(SeamcallAnswered):
        if fact.call == Call.BLOCK:
            found.setdefault((fact.op, fact.start), fact.status)
    return found


def test_protocols_meet_the_same_busy_at_the_same_block():
    one, other = fates("two-phase"), fates("in-place-huge")
    common = one.keys() & other.keys()
    assert len(common) > 20 and {one[key] for key in common} == {Status.OK, Status.BUSY}
    assert all(one[key] == other[key] for key in common)


# --- the table -----------------------------------------------------------------------------------


def test_the_defaults_are_those_of_the_cost_table():
    table = cost_table.read("tdx-2026")["parameter"]
    vm = Vm()
    found = (vm.busy_background, vm.busy_accepting, vm.busy_storm)
    names = ("busy_background", "busy_rate_accepting", "busy_rate_storm")
    assert found == tuple(table[name]["value"] for name in names)
