"""Many independent simulations: in this process one after the other, or many at a time on Ray."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from workloads import one_run
from workloads.errors import UsageError
from workloads.wording import quote

if TYPE_CHECKING:
    from cluster.ray_pool import Done


EXECUTORS = ("ray", "local")


class Work(Protocol):
    """What is done many times: from bytes to bytes, or to nothing where it was asked to stop before the end.

    It is a function of a module, which workers import.
    """

    def __call__(self, work: bytes, asked: Callable[[], bool] = ..., /) -> bytes: ...


class Finished(NamedTuple):
    """See cluster.ray_pool.Done, which is loaded with Ray."""

    name: str
    found: bytes | None
    lost: str = ""


class Pool(Protocol):
    """Who does pieces of work by their names, `size` of them at a time: packed scenarios, unless told otherwise."""

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

    def __init__(self, asked: Callable[[], bool], work: Work = one_run.run) -> None:
        self.asked = asked
        self.work = work
        self.waiting: list[tuple[str, bytes]] = []

    def __len__(self) -> int:
        return len(self.waiting)

    def start(self, name: str, work: bytes) -> None:
        """See Pool."""
        self.waiting.append((name, work))

    def finished(self) -> Iterator[Finished]:
        """See Pool. What was stopped half way is not over."""
        name, work = self.waiting.pop(0)
        found = self.work(work, self.asked)
        if found:
            yield Finished(name, found)

    def close(self) -> None:
        """See Pool."""
        self.waiting.clear()


@contextmanager
def pool(
    executor: str,
    address: str | None,
    workers: int,
    asked: Callable[[], bool],
    work: Work = one_run.run,
) -> Iterator[Pool]:
    """Whoever `executor` names; 0 workers are one for each CPU."""
    if executor == "local":
        yield OneByOne(asked, work)
        return
    from cluster import ray_pool

    try:
        with ray_pool.cluster(address, workers):
            found = ray_pool.RayPool(work, workers)
            try:
                yield found
            finally:
                found.close()
    except ray_pool.RayUnavailableError as error:
        raise UsageError(str(error)) from None


def executor_of(flags: dict[str, Any]) -> str:
    """Ray, unless it is told otherwise; flags that would do nothing are a mistake."""
    executor: str = flags["executor"] or EXECUTORS[0]
    if executor not in EXECUTORS:
        raise UsageError(f"--executor: found {quote(executor)}, expected local or ray")
    for flag in ("address", "workers") if executor == "local" else ():
        if flags[flag] is not None:
            raise UsageError(
                f"--{flag}: found no Ray to use it, expected no --executor local beside it"
            )
    if flags["address"] == "":
        raise UsageError('--address: found "", expected HOST:PORT, ray://HOST:PORT or auto')
    return executor
