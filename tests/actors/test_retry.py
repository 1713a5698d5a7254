"""Retry policies: how long until the next try."""

from typing import get_args

import pytest

from actors.vmm.retry import POLICIES, draw
from workloads.scenario.sections import Retry

MS = 1_000_000
TOP = (1 << 64) - 1


def waits(name, chance=0, tries=8):
    policy = POLICIES[name](tries, MS, 100 * MS)
    return [policy.wait(before, chance) // 1000 for before in range(8)]


def test_a_policy_for_each_word_that_a_scenario_knows():
    assert tuple(POLICIES) == get_args(Retry)


@pytest.mark.parametrize("name", ["backoff", "cooperative"])
def test_exponential_pauses_double_up_to_the_longest(name):
    assert waits(name) == [1000, 2000, 4000, 8000, 16000, 32000, 64000, 100_000]


def test_fixed_waits_as_long_every_time():
    assert waits("fixed", TOP) == [1000] * 8


def test_immediate_never_waits_and_gives_up_all_the_same():
    assert waits("immediate", TOP) == [0] * 8
    assert POLICIES["immediate"](8, MS, MS).tries == 8
    assert POLICIES["spin"](8, MS, MS).tries == -1


def test_jitter_reaches_from_nothing_to_the_exponential_pause():
    assert waits("jitter", 0) == [0] * 8
    assert waits("jitter", TOP) == [each - 1 for each in waits("backoff")]  # cut off, not rounded
    assert waits("jitter", 1 << 63) == [each // 2 for each in waits("backoff")]


def test_what_is_drawn_is_even_and_every_name_decides():
    found = [draw(vm, request, 0) / 2**64 for vm in range(40) for request in range(50)]
    assert len(set(found)) == 2000
    tenths = [sum(i / 10 <= each < (i + 1) / 10 for each in found) for i in range(10)]
    assert all(150 < n < 250 for n in tenths)  # 200 expected, sigma 13.4
    assert draw(1, 2, 3) == draw(1, 2, 3) != draw(3, 2, 1)
    assert draw(-1 & TOP) == draw(TOP)
