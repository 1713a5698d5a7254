"""What can fail where is read off a protocol's table: against lists written by hand, and for tables nobody knows."""

import pytest

from actors.contract import Reason as R
from actors.protocols import PROTOCOLS, Event, Row, Stage, Table
from actors.protocols.table import ALL
from cluster.failures import failures_of, in_table

MAP = tuple((phase, "iommu", (R.NO_MEMORY, R.DEAD)) for phase in ("map", "map_again"))
BY_HAND = {
    "two-phase": (
        ("reserving", "gmem", (R.NO_MEMORY,)),
        (
            "preparing",
            "kvm_mmu",
            (R.NO_MEMORY, R.REFERENCES, R.BUSY, R.INTERRUPTED, R.TIMEOUT, R.BUG, R.DEAD),
        ),
        ("preparing", "host_map", (R.TIMEOUT,)),
        ("preparing", "pins", (R.REFERENCES, R.TIMEOUT)),
        ("preparing", "iommu", (R.NO_MEMORY, R.REFERENCES, R.TIMEOUT, R.DEAD)),
        ("committing", "kvm_mmu", (R.REFERENCES, R.BUSY, R.BUG)),
        ("committing", "iommu", (R.TIMEOUT,)),
        *MAP,
    ),
    "undo-split-first": (
        ("listing", "gmem", (R.NO_MEMORY,)),
        ("checking", "gmem", (R.BUG,)),
        ("splitting", "kvm_mmu", (R.NO_MEMORY, R.BUSY, R.INTERRUPTED, R.BUG, R.DEAD)),
        ("invalidating", "kvm_mmu", (R.DEAD,)),
        ("invalidating", "pins", (R.REFERENCES,)),
        ("invalidating", "iommu", (R.NO_MEMORY, R.REFERENCES, R.TIMEOUT, R.DEAD)),
        ("storing", "gmem", (R.NO_MEMORY,)),
        ("restructuring", "gmem", (R.NO_MEMORY,)),
        *MAP,
    ),
    "in-place": (
        ("reserving", "gmem", (R.NO_MEMORY,)),
        ("checking", "pins", (R.REFERENCES,)),
        ("checking", "iommu", (R.NO_MEMORY, R.REFERENCES, R.TIMEOUT, R.DEAD)),
        *MAP,
    ),
}


@pytest.mark.parametrize("protocol", BY_HAND)
def test_it_is_what_one_would_write_by_hand(protocol):
    assert failures_of(protocol) == BY_HAND[protocol]


def test_a_discarded_result_is_no_failure():
    found = {(phase, who): reasons for phase, who, reasons in failures_of("undo")}
    assert found["invalidating", "kvm_mmu"] == (R.DEAD,)  # to shared the same row discards it


def test_whom_nobody_asks_does_not_fail():
    table = Table("store", "", (Row(Stage.WAITING, Event.LOCKED, "store", Stage.STORING, "1"),))
    assert in_table(table) == MAP


def test_a_refusal_for_which_there_is_no_row_does_not_happen():
    asks = Row(Stage.WAITING, Event.LOCKED, "prepare", Stage.PREPARING, "1", ALL)
    hears = Row(Stage.PREPARING, Event.REFUSED, "abort", Stage.ABORTING, "2", ALL)
    deaf, fair = Table("deaf", "", (asks,)), Table("fair", "", (asks, hears))
    assert in_table(deaf) == MAP
    assert {who for _, who, _ in in_table(fair)} == {"kvm_mmu", "pins", "iommu"}


def test_a_table_is_read_and_not_its_name(monkeypatch):
    monkeypatch.setitem(PROTOCOLS, "two-phase", PROTOCOLS["in-place"])
    assert failures_of("two-phase") == BY_HAND["in-place"]
