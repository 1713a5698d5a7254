"""States that exchanges of equal VMs or pages make of one another are one: no less is shown, by ways that are runs."""

import pytest

from actors import messages as m
from actors.address import PINS, vm_of
from actors.kvm.mmu import KvmMmu
from cluster.explore import Limits, Unlike, taken_step
from tests.explore.explorations import NO_FAULTS, at, looked_through, modelled
from workloads.explore.equal import candidates
from workloads.explore.exploration import LeaveOut, Progress, searched

BOTH = 'workload=[{kind="script",lanes=["share 0B+4KiB","share 4KiB+4KiB"]}]'
# Scenario, protocol, where a failure may strike, other keys.
CASES = {
    "VMs": ("smallest-vms", "undo", (), ()),
    "VMs, one failure": ("smallest-vms", "undo", ("gmem.work",), ()),
    "pages": ("smallest-two", "in-place", (), (BOTH,)),
    "pages, one failure": ("smallest-two", "undo", ("gmem.work",), (BOTH,)),
    "pages, another failure": ("smallest-two", "in-place", ("gmem.tree",), (BOTH,)),
}
FAILING = [name for name in CASES if "failure" in name]


def case(name):
    scenario, protocol, points, keys = CASES[name]
    return modelled(at(*points), *keys, name=scenario, protocol=protocol)


def stood_for(search):
    """All states that those which were looked at stand for."""
    found = set(search.states)
    todo = list(found)
    for one in todo:
        new = {exchange.image(one) for exchange in search.symmetry.exchanges} - found
        found |= new
        todo += new
    return found


@pytest.mark.parametrize("name", CASES)
def test_what_is_left_out_is_what_exchanges_make_of_the_rest(name):
    every, model = looked_through(case(name)), case(name)
    fewer = looked_through(model, exchanged=list(candidates(model.system)))
    assert len(stood_for(fewer.search)) == every.search.distinct > fewer.search.distinct
    assert fewer.search.distinct <= (every.search.distinct + 100) / 2
    shown = {key: (each.shown, each.verdict) for key, each in fewer.properties.items()}
    assert shown == {key: (each.shown, each.verdict) for key, each in every.properties.items()}


@pytest.mark.parametrize("name", FAILING)
def test_so_it_is_with_orders_left_out_too(name):
    every, model = looked_through(case(name)), case(name)
    fewer = looked_through(model, reduced=True, exchanged=list(candidates(model.system)))
    assert fewer.search.distinct < every.search.distinct / 2
    assert fewer.shown == every.shown and fewer.verdict == every.verdict


@pytest.mark.parametrize("name", FAILING)
@pytest.mark.parametrize("reduced", [False, True])
def test_a_way_is_one_run_and_shows_what_it_is_said_to(name, reduced):
    model = case(name)
    found = looked_through(model, reduced=reduced, exchanged=list(candidates(model.system)))
    assert found.search.words, "no state was exchanged on the way"
    told = 0
    for (what, kind), each in found.properties.items():
        if not each.way or kind == "eventually":
            continue
        state = model.system.first
        shown: tuple[str, ...] = ()
        for step in each.way.steps:
            move = taken_step(model.system, state, step)
            state, shown = move.state, move.shown
        assert what in shown
        told += 1
    assert told >= 3


def test_a_shortest_way_is_as_short():
    every, model = looked_through(case("VMs, one failure")), case("VMs, one failure")
    fewer = looked_through(model, exchanged=list(candidates(model.system)))
    for key, each in fewer.properties.items():
        other = every.properties[key].way
        assert (each.way and len(each.way.steps)) == (other and len(other.steps))


def tried(*keys, name="smallest-vms", protocol="undo", faults=0):
    """(what was exchanged, what was found to be unlike) as the command does it."""
    model = modelled(*keys, name=name, protocol=protocol, faults=faults)
    search, unlike = searched(model.system, Limits(), LeaveOut(), Progress(None, quiet=True))
    symmetry = search.symmetry
    return [each.places.name for each in symmetry.exchanges] if symmetry else [], unlike


UNLIKE = {
    "one lane shares, one does not": (
        'workload=[{kind="script",lanes=["share 0B+4KiB","private 4KiB+4KiB"]}]',
        "smallest-two",
    ),
    "one page, and two": (
        'workload=[{kind="script",lanes=["share 0B+4KiB","share 4KiB+8KiB"]}]',
        "smallest-two",
    ),
}


@pytest.mark.parametrize("what", UNLIKE)
def test_lanes_that_are_not_equal_are_found_out(what):
    keys, name = UNLIKE[what]
    exchanged, unlike = tried(NO_FAULTS, keys, name=name)
    assert exchanged == []
    assert unlike and unlike[0].startswith("lanes 0 and 1 of h0/v0/load: ")


def test_vms_of_which_one_alone_may_fail_are_not_equal():
    keys = 'fault=[{point="gmem.work",vms=[1]}]'
    assert tried(keys, faults=1)[0] == []
    assert tried(at("gmem.work"), faults=1)[0] == ["h0/v0 and v1"]


def test_a_bug_that_only_one_vm_has_is_found_out(monkeypatch):
    """VM 1's KVM has a page's pins dropped for no reason."""
    asked = KvmMmu.HANDLERS[m.MapGpa]

    def more(kvm, message, context):
        asked(kvm, message, context)
        if vm_of(kvm.vm) == 1:
            context.send(kvm.vm | PINS, m.DropPins(0, 1), context.link)

    monkeypatch.setitem(KvmMmu.HANDLERS, m.MapGpa, more)
    exchanged, unlike = tried(NO_FAULTS)
    assert exchanged == [] and "one sends another number of messages" in unlike[0]


def test_a_state_that_would_have_two_counterparts_ends_it():
    model = case("VMs")
    (places,) = candidates(model.system)
    found = looked_through(model, exchanged=[places]).search.symmetry.exchanges[0]
    one, other = next((a, b) for a, b in found.states.items() if a != b)
    with pytest.raises(Unlike, match="two counterparts"):
        found.pair(found.states, one, other + 1, "a state")
