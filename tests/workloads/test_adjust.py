"""What a protocol needs otherwise is changed, told, and judged by the scenario's own rules."""

import pytest

from actors.protocols import PROTOCOLS
from tests.workloads.small_runs import decode
from workloads import adjust
from workloads.adjust import ADJUSTMENTS, Adjustment, adjusted, values
from workloads.errors import UsageError


def changed(*overrides):
    return adjusted(decode(*overrides), "in-place").changed


def test_only_what_differs_is_changed():
    assert adjusted(decode(), "two-phase") == (decode(), {})


def test_in_place_has_pages_of_four_kib():
    assert changed() == {
        "vm.page_order": {"was": "9", "now": "0"},
        "vm.start": {"was": '"mapped-2m"', "now": '"mapped-4k"'},
    }
    assert changed("vm.start=unaccepted").keys() == {"vm.page_order"}
    assert changed("vm.start=mapped-4k", "vm.page_order=0") == {}
    assert changed("vm.start=prefaulted-2m")["vm.start"]["now"] == '"unaccepted"'


def test_who_has_no_poison_callback_marks_pages_in_its_own_way():
    told = {name: adjusted(decode("protocol.mark=callback"), name).changed for name in PROTOCOLS}
    mark = {"was": '"callback"', "now": '"protocol"'}
    assert (
        told["two-phase-refcount"] == {}
    )  # it hears of pages, and by default wants to be told otherwise
    assert told["undo"] == told["in-place-huge"] == {"protocol.mark": mark}


def test_every_adjustment_is_of_a_key_that_there_is():
    known = values(decode())
    for protocol, adjustments in ADJUSTMENTS.items():
        for key, unfit, fit in adjustments:
            assert key in known and fit not in unfit, f"{protocol}: {key}"


def test_what_does_not_go_together_is_one_line(monkeypatch):
    half = {"in-place": (Adjustment("vm.page_order", (9,), 0),)}
    monkeypatch.setattr(adjust, "ADJUSTMENTS", half)
    with pytest.raises(UsageError, match=r"^protocol in-place: vm.start: found .*mapped-4k"):
        adjusted(decode(), "in-place")


def test_the_adjusted_scenario_is_what_runs():
    found = adjusted(decode("vm.page_order=18"), "in-place").scenario
    assert (found.protocol.name, found.vm.page_order, found.vm.start) == (
        "in-place",
        0,
        "mapped-4k",
    )
    assert found.workload == decode().workload
