"""Many independent simulations: in this process one after the other, or many at a time on Ray."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple, Protocol

from workloads import one_run
from workloads.errors import UsageError

if TYPE_CHECKING:
    from cluster.ray_pool import Done


class Finished(NamedTuple):
    """See cluster.ray_pool.Done, which is loaded with Ray."""

    name: str
    found: bytes | None
    lost: str = ""


class Pool(Protocol):
    """Who runs packed scenarios (workloads.one_run) by their names, `size` of them at a time."""

    size: int
    redone: int

    def __len__(self) -> int: ...

    def start(self, name: str, work: bytes) -> None:
        """Hand one in."""

    def finished(self) -> "Iterator[Done | Finished]":
        """Those that are over, perhaps none yet."""

    def close(self) -> None:
        """Give up what goes on."""


class OneByOne:
    """In this process: each runs when it is asked for, and ends early where `asked` says so."""

    size = 1
    redone = 0

    def __init__(self, asked: Callable[[], bool]) -> None:
        self.asked = asked
        self.waiting: list[tuple[str, bytes]] = []

    def __len__(self) -> int:
        return len(self.waiting)

    def start(self, name: str, work: bytes) -> None:
        """See Pool."""
        self.waiting.append((name, work))

    def finished(self) -> Iterator[Finished]:
        """See Pool. What was stopped half way is not over."""
        name, work = self.waiting.pop(0)
        found = one_run.run(work, self.asked)
        if found:
            yield Finished(name, found)

    def close(self) -> None:
        """See Pool."""
        self.waiting.clear()


@contextmanager
def pool(
    executor: str, address: str | None, workers: int, asked: Callable[[], bool]
) -> Iterator[Pool]:
    """Whoever `executor` names; 0 workers are one for each CPU."""
    if executor == "local":
        yield OneByOne(asked)
        return
    from cluster import ray_pool

    try:
        with ray_pool.cluster(address, workers):
            found = ray_pool.RayPool(one_run.run, workers)
            try:
                yield found
            finally:
                found.close()
    except ray_pool.RayUnavailableError as error:
        raise UsageError(str(error)) from None
