"""What is in flight, and which of it may come next."""

from cluster.explore.clock import NEVER, NOW, settled
from cluster.explore.network import Lane, Link, due, put, recalled, taken


def messages(pool):
    return [message for _, _, message in due(pool)]


def test_a_link_delivers_in_the_order_of_sending():
    pool = put((), 1, Link.FIFO, [(2, 8), (2, 7), (3, 9)])
    assert pool == (Lane(1, 2, Link.FIFO, (8, 7)), Lane(1, 3, Link.FIFO, (9,)))
    assert messages(pool) == [8, 9]
    assert messages(taken(pool, 0, 0)) == [7, 9]


def test_timers_fire_in_any_order_and_equal_ones_once_each():
    pool = put((), 1, Link.ANY, [(1, 8), (1, 7), (1, 8)])
    assert messages(pool) == [7, 8]
    assert messages(taken(taken(pool, 0, 1), 0, 1)) == [7]


def test_patience_ends_when_nothing_else_is_in_flight():
    late = put((), 1, Link.LATE, [(1, 5)])
    assert messages(late) == [5]
    assert messages(put(late, 2, Link.FIFO, [(1, 6)])) == [6]


def test_what_is_kept_stays_and_is_there_once():
    pool = put((), 1, Link.KEPT, [(2, 5), (2, 5)])
    assert messages(pool) == [5]
    assert taken(pool, 0, 0) == pool


def test_a_timer_is_taken_back_unless_it_has_fired():
    pool = put(put((), 1, Link.LATE, [(1, 5)]), 1, Link.FIFO, [(1, 5)])
    once = recalled(pool, 1, [5])
    assert once == (Lane(1, 1, Link.FIFO, (5,)),)
    assert recalled(once, 1, [5, 4]) == once


def test_equal_pools_are_equal_whatever_was_sent_first():
    one = put(put((), 1, Link.FIFO, [(3, 5)]), 2, Link.FIFO, [(3, 6)])
    other = put(put((), 2, Link.FIFO, [(3, 6)]), 1, Link.FIFO, [(3, 5)])
    assert one == other


def test_a_time_to_come_is_over_before_the_next_message():
    assert settled([NOW + 7, NOW, NEVER, 12, (NOW + 1, "x"), {3: NOW + 9}]) == [
        NOW, NOW, NEVER, 12, (NOW, "x"), {3: NOW},
    ]  # fmt: skip
