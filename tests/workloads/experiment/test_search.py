"""The search: it finds the edge, asks little, and says where there are several edges."""

import math

import pytest

from workloads.experiment.search import largest


def answered(values, holds):
    """The answer, and what was asked for, in order."""
    asking, asked = largest(values), []
    value = next(asking)
    while True:
        asked.append(value)
        try:
            value = asking.send(holds(value))
        except StopIteration as end:
            return end.value, asked


@pytest.mark.parametrize("count", [1, 2, 3, 7, 8, 100])
def test_every_edge_is_found_and_nothing_is_asked_twice(count):
    values = list(range(10, 10 + count))
    for edge in range(count + 1):
        answer, asked = answered(values, lambda value, edge=edge: value < 10 + edge)
        assert answer.value == (values[edge - 1] if edge else None)
        assert answer.missed == (values[edge] if edge < count else None)
        assert (answer.most, answer.monotone) == (edge == count, True)
        assert len(asked) == len(set(asked)) <= 2 * math.log2(count + 1) + 4


def test_it_gallops_before_it_bisects():
    _, asked = answered(range(1, 1000), lambda value: value <= 5)
    assert asked[:4] == [1, 2, 4, 8]
    assert max(asked) == 8


def test_a_neighbour_that_holds_beyond_a_miss_is_told():
    answer, _ = answered(range(1, 20), lambda value: value <= 5 or value == 7)
    assert (answer.value, answer.missed, answer.monotone) == (5, 6, False)


def test_a_neighbour_that_misses_below_a_hit_is_told():
    answer, _ = answered(range(1, 20), lambda value: value <= 6 and value != 5)
    assert (answer.value, answer.monotone) == (6, False)
