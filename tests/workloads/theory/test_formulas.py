"""Formulas and recursions against values that are known by other ways."""

import math
from itertools import cycle

import pytest

from cluster.costs import EXPONENTIAL, Cost, CostModel, sum_of, time_of
from workloads.theory import formulas as f
from workloads.theory import recursions as r


def test_known_values_of_open_queues():
    assert f.mm1_time(0.5, 1) == 2
    assert f.mg1_time(0.5, 1, 2) == f.mm1_time(0.5, 1)  # exponential: twice the square of the mean
    assert f.mg1_time(0.5, 1, 1) == 1.5
    assert f.erlang_c(1, 0.3) == pytest.approx(0.3)
    assert f.erlang_c(2, 1) == pytest.approx(1 / 3)
    assert f.erlang_c(5, 4) == pytest.approx(0.5541, abs=1e-4)  # printed in tables
    assert f.mmc_time(0.5, 1, 1) == pytest.approx(2)


def test_known_values_of_closed_queues():
    assert f.repair_time(1, 5, 1) == pytest.approx(1)  # nobody to wait for
    # Two machines: by balance of the three states, weights 1, 2/5, 2/25.
    throughput = (1 * 2 / 5 + 1 * 2 / 25) / (1 + 2 / 5 + 2 / 25)
    assert f.repair_time(2, 5, 1) == pytest.approx(2 / throughput - 5)
    assert f.closed_times(1, [1, 0.8, 0.5]) == pytest.approx([1, 0.8, 0.5])
    assert f.closed_times(4, [1, 1, 1]) == pytest.approx([2, 2, 2])  # (N + M - 1) / M
    # Two desks, by Buzen's convolution: the first is busy G(2) / G(3) of the time.
    assert 3 / sum(f.closed_times(3, [1, 0.5])) == pytest.approx(
        (1 + 0.5 + 0.25) / (1 + 0.5 + 0.25 + 0.125)
    )


def test_recursions_by_hand():
    assert r.arrivals(iter([10, 3, 3]), 4, 1) == [2, 12, 15, 18]
    assert r.lindley([2, 12, 15, 18], iter([4, 5, 4, 1])) == [(0, 4), (0, 5), (2, 4), (3, 1)]
    assert r.kiefer_wolfowitz([0, 1, 2, 3], iter([9, 9, 1, 1]), 2) == [
        (0, 9),
        (0, 9),
        (7, 1),
        (7, 1),
    ]
    assert r.repairs([cycle([10]), cycle([12])], cycle([5]), 2, 1) == [
        *[(0, 0, 5), (1, 3, 5)],  # failed at 12 and 14
        *[(0, 0, 5), (1, 0, 5)],  # at 29 and 36
    ]
    assert r.rounds([cycle([5]), cycle([2])], 2, 2, 1) == [
        [(0, 5), (5, 5), (1, 5), (1, 5)],
        [(0, 2), (0, 2), (0, 2), (0, 2)],
    ]


def test_an_exponential_cost_is_one():
    cost = Cost("service", 1e9, 0.0, EXPONENTIAL)
    draws = [time_of(sum_of(cost, 1), draw) for draw in range(1 << 16)]
    assert sum(draws) / len(draws) == pytest.approx(1e9, rel=1e-5)
    assert sum(x * x for x in draws) / len(draws) == pytest.approx(2e18, rel=1e-4)
    below = sum(draw < 2e9 for draw in draws) / len(draws)
    assert below == pytest.approx(1 - math.exp(-2), abs=2e-5)
    # Of several it is the lognormal with their mean and variance.
    _, mean, sigma, *_ = sum_of(cost, 4)
    assert (mean, math.expm1(sigma**2)) == pytest.approx((4e9, 1 / 4))
    assert CostModel({"service": cost}).duration(cost, 1, 40_000) == draws[40_000]
