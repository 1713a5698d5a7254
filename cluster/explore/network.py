"""What is in flight: messages on links, and timers. Which of them may come next."""

import enum
from collections.abc import Iterable, Iterator
from typing import NamedTuple


class Link(enum.IntEnum):
    """How the messages from one actor to another relate."""

    FIFO = 0  # in the order in which they were sent
    ANY = 1  # in any order; timers always are
    KEPT = 2  # in any order, and as often as wanted: what was once sent stays sent


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
    for number, lane in enumerate(pool):
        if lane.link is Link.FIFO:
            yield number, 0, lane.messages[0]
        else:
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
    lanes = {(lane.source, lane.target, lane.link): lane.messages for lane in pool}
    for target, message in sent:
        key = source, target, link
        before = lanes.get(key, ())
        if link is Link.FIFO:
            lanes[key] = (*before, message)
        elif link is Link.ANY or message not in before:
            lanes[key] = tuple(sorted((*before, message)))
    return tuple(Lane(*key, lanes[key]) for key in sorted(lanes))


def recalled(pool: Pool, owner: int, timers: Iterable[int]) -> Pool:
    """Without these timers of the actor's; one that has fired is not there any more."""
    for timer in timers:
        for number, place, message in due(pool):
            lane = pool[number]
            if lane.source == lane.target == owner and message == timer and lane.link is Link.ANY:
                pool = taken(pool, number, place)
                break
    return pool
