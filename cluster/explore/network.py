"""What is in flight: messages on links, and timers. Which of them may come next."""

import enum
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from typing import NamedTuple


class Link(enum.IntEnum):
    """How the messages from one actor to another relate."""

    FIFO = 0  # in the order in which they were sent
    ANY = 1  # in any order, as timers fire
    KEPT = 2  # in any order, and as often as wanted: what was once sent stays sent
    LATE = 3  # in any order, once nothing else is in flight: timers of those who have patience


class Lane(NamedTuple):
    """The messages in flight from one actor to another, by their numbers; what an actor sends itself are its timers."""

    source: int
    target: int
    link: Link
    messages: tuple[int, ...]


Pool = tuple[Lane, ...]
"""In order, so that equal ones are equal. There is no lane without a message."""
Sent = tuple[int, int]
"""(target, number of the message)"""
Due = tuple[int, int, int]
"""(number of the lane, place in the lane, message) of what may come next"""


def due(pool: Pool) -> Iterator[Due]:
    """Whatever may come next."""
    late = all(lane.link is Link.LATE for lane in pool)
    for number, lane in enumerate(pool):
        if lane.link is Link.FIFO:
            yield number, 0, lane.messages[0]
        elif late or lane.link is not Link.LATE:
            before = -1
            for place, message in enumerate(lane.messages):
                if message != before:  # they are in order
                    yield number, place, message
                before = message


def taken(pool: Pool, number: int, place: int) -> Pool:
    """Without this message, which is being delivered."""
    lane = pool[number]
    if lane.link is Link.KEPT:
        return pool
    rest = lane.messages[:place] + lane.messages[place + 1 :]
    here = (lane._replace(messages=rest),) if rest else ()
    return pool[:number] + here + pool[number + 1 :]


def put(pool: Pool, source: int, link: Link, sent: Iterable[Sent]) -> Pool:
    """With what an actor has sent, over links like this."""
    for target, message in sent:
        before = Lane(source, target, link, ())
        at = bisect_left(pool, before)
        found = at < len(pool) and pool[at][:3] == before[:3]
        messages = pool[at].messages if found else ()
        if link is Link.KEPT and message in messages:
            continue
        messages = (*messages, message)
        if link is not Link.FIFO and found:
            messages = tuple(sorted(messages))
        lane = Lane(source, target, link, messages)
        pool = (*pool[:at], lane, *pool[at + found :])
    return pool


def recalled(pool: Pool, owner: int, timers: Iterable[int]) -> Pool:
    """Without these timers of the actor's; one that has fired is not there any more."""
    for timer in timers:
        for number, lane in enumerate(pool):
            mine = lane.source == lane.target == owner and lane.link is not Link.FIFO
            if mine and timer in lane.messages:
                pool = taken(pool, number, lane.messages.index(timer))
                break
    return pool
