"""What a partition is made of: hosts with their actors, first messages, watchers, feeds. Built where it will run."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from actors.contract import Actor, Message
from cluster.costs import CostModel
from cluster.faults import FaultPlan
from cluster.host import Watch, Watchers


class Feed(Protocol):
    """Input that is too long to hold: pages of records that the driver supplies as an actor consumes them."""

    def ahead(self) -> int:
        """How many events may be handled for certain before the next page is needed."""

    def wanted(self) -> Sequence[tuple[int, int]]:
        """(source, page number) of the pages to send next."""

    def supply(self, source: int, page: int, records: bytes) -> None:
        """Take a page."""


class Watcher(Protocol):
    """Follows observations. Results of two watchers of a kind can be joined into one."""

    def watches(self) -> Mapping[type, Watch]:
        """Observation type -> what to call with (time, observation)."""

    def result(self) -> Any:
        """Plain data (numbers, strings, lists, dictionaries) of all that was seen, once it is over."""

    def so_far(self) -> Any:
        """The same layout while it goes on, told now and then: what takes long to tell may be missing."""


@dataclass
class World:
    """Hosts of one partition. `types` are the messages that may cross hosts; none means actors.messages."""

    seed: int
    actors: Mapping[int, Mapping[int, Actor]]  # host -> address -> actor
    first: Sequence[tuple[int, int, Message]]  # (time, actor, message it sends itself)
    costs: CostModel
    faults: FaultPlan
    watchers: Mapping[str, Watcher] = field(default_factory=dict)
    feeds: Mapping[int, Feed] = field(default_factory=dict)  # who consumes it -> feed
    types: Sequence[type[Message]] = ()
    census: Callable[[Iterable[Actor]], dict[str, int]] = lambda _: {}  # counts over final states
    backlog: Callable[[int, Iterable[Actor]], int] = lambda _now, _actors: 0  # asked for, not begun


Build = Callable[[bytes, Sequence[int]], World]


def dispatch_table(watchers: Mapping[str, Watcher]) -> Watchers:
    """Observation type -> what follows it: one function, or several in the watchers' order."""
    table: dict[type, list[Watch]] = {}
    for watcher in watchers.values():
        for kind, watch in watcher.watches().items():
            table.setdefault(kind, []).append(watch)
    return {kind: in_turn(*watches) for kind, watches in table.items()}


def in_turn(first: Watch, second: Watch | None = None, *others: Watch) -> Watch:
    """One after the other."""
    if second is None:
        return first

    def both(now: int, observation: Any) -> None:
        first(now, observation)
        second(now, observation)

    def each(now: int, observation: Any) -> None:
        first(now, observation)
        second(now, observation)
        for watch in others:
            watch(now, observation)

    return each if others else both
