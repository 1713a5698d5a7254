"""RwLock: a queue of tickets, fair to writers."""

from hypothesis import given, settings
from hypothesis import strategies as st

from actors.locks.lock import RwLock, Waiter


def test_a_free_lock_is_granted_at_once():
    lock = RwLock()
    assert (lock.take(1, True, 0), lock.writer) == (True, 1)


def test_readers_share_and_a_writer_waits_for_the_last_of_them():
    lock = RwLock(readers=[1, 2])
    assert not lock.take(3, True, 5)
    assert [lock.drop(1), lock.drop(2)] == [[], [Waiter(3, True, 5)]]


def test_a_reader_does_not_overtake_a_waiting_writer():
    lock = RwLock(readers=[1], queue=[Waiter(2, True, 0)])
    assert (lock.take(3, False, 7), lock.readers) == (False, [1])


def test_a_writer_hands_over_to_all_readers_in_front_of_the_next_writer():
    waiting = [Waiter(2, False, 1), Waiter(3, False, 2), Waiter(4, True, 3), Waiter(5, False, 4)]
    lock = RwLock(writer=1, queue=list(waiting))
    assert (lock.drop(1), lock.readers, lock.queue) == (waiting[:2], [2, 3], waiting[2:])


def test_a_lock_is_idle_when_nobody_holds_it_and_nobody_waits():
    locks = [RwLock(), RwLock(writer=1), RwLock(readers=[1]), RwLock(queue=[Waiter(1, True, 0)])]
    assert [lock.idle for lock in locks] == [True, False, False, False]


@settings(derandomize=True, max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.booleans()), max_size=30))
def test_whoever_asks_is_served_once_in_order_and_never_a_writer_beside_another(steps):
    lock, asked, served = RwLock(), 0, list[int]()
    for exclusive, drop_first in [*steps, *[(True, True)] * len(steps)]:
        held = [lock.writer] if lock.writer >= 0 else lock.readers
        if drop_first and held:
            served += [waiter.ticket for waiter in lock.drop(held[0])]
        elif not drop_first:
            served += [asked] if lock.take(asked, exclusive, 0) else []
            asked += 1
        assert not (lock.writer >= 0 and lock.readers)
    while not lock.idle:
        held = [lock.writer] if lock.writer >= 0 else lock.readers
        served += [waiter.ticket for waiter in lock.drop(held[0])]
    assert served == list(range(asked))
