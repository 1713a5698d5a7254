"""The table of callers: the mail's 34 and one, its marks, and where its chains end."""

import re
from pathlib import Path

from actors.notifier_sites import (
    CALLERS,
    DIRECT,
    EXIT_MMAP,
    KVM_CHAINS,
    MM_CHAINS,
    OOM_REAPER,
)

DOMAIN = Path(__file__).resolve().parents[2] / "docs" / "domain.md"
CELL = re.compile(r"\| (\d+) \| (\w+)( \*\*N\*\*)? (?=\|)")


def test_there_are_34_direct_callers_one_that_must_not_block_and_thirteen_chains():
    assert [caller.number for caller in DIRECT] == list(range(1, 35))
    assert [caller for caller in CALLERS.values() if not caller.blocking] == [OOM_REAPER]
    marks = [caller.mark for caller in (*MM_CHAINS, *KVM_CHAINS)]
    assert marks == [*(f"N{n}" for n in range(1, 9)), *(f"K{n}" for n in range(1, 6))]
    assert len(CALLERS) == 34 + 1 + 13


def test_names_and_marks_are_those_of_the_domain_page():
    told = {int(n): (name, bool(mark)) for n, name, mark in CELL.findall(DOMAIN.read_text())}
    assert told == {caller.number: (caller.path[0], caller.no_fail) for caller in DIRECT}


def test_no_chain_can_fail_and_those_of_the_mm_end_in_a_caller_that_cannot():
    for caller in (*MM_CHAINS, *KVM_CHAINS):
        assert caller.no_fail and caller.why
    for caller in MM_CHAINS:
        end = CALLERS[caller.ends_in]
        assert (end.no_fail, end.unmaps, caller.path[-1]) == (True, True, end.path[0])


def test_results_tell_all_callers_apart():
    assert len({caller.label for caller in CALLERS.values()}) == len(CALLERS)
    assert CALLERS[EXIT_MMAP].label == "N8 exit_mmap"
    assert CALLERS[5].label == "__split_huge_pmd"


def test_kvm_chains_leave_the_page_tables_of_the_mm_alone():
    assert not any(caller.unmaps for caller in KVM_CHAINS)
    assert [caller.mark for caller in KVM_CHAINS if caller.protects] == ["K1", "K4"]
