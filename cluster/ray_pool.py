"""Independent pieces of work on Ray, many at a time: bytes in, bytes out. What was on a lost worker is done again."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import ray
from ray.exceptions import RayError, RayTaskError

from cluster import ray_partitions

TRIES = 3  # work that has taken so many workers with it is not tried on another one
WAIT_SECONDS = 0.2

RayUnavailableError = ray_partitions.RayUnavailableError
cluster = ray_partitions.cluster
Work = Callable[[bytes], bytes]


class Done(NamedTuple):
    """A piece of work by its name. `found` is None once it was lost too often, `lost` says how then."""

    name: str
    found: bytes | None
    lost: str = ""


class Task(NamedTuple):
    """A try."""

    name: str
    work: bytes
    tries: int


class RayPool:
    """Works on a cluster that is joined; `size` is how much of it goes on at a time.

    `work` is a function of a module: workers import it. What it raises, `finished` raises.
    """

    def __init__(self, work: Work, size: int = 0) -> None:
        self.remote = ray.remote(work).options(num_cpus=1, max_retries=0)
        self.size = size or max(1, int(ray.cluster_resources().get("CPU", 1)))
        self.redone = 0
        self.tasks: dict[Any, Task] = {}

    def __len__(self) -> int:
        return len(self.tasks)

    def start(self, name: str, work: bytes, tries: int = 1) -> None:
        """Hand it to whoever is free."""
        self.tasks[self.remote.remote(work)] = Task(name, work, tries)

    def finished(self) -> Iterator[Done]:
        """What has been finished meanwhile; waits a moment where nothing has."""
        ready, _ = ray.wait(list(self.tasks), num_returns=1, timeout=WAIT_SECONDS)
        for reference in ready:
            name, work, tries = self.tasks.pop(reference)
            try:
                yield Done(name, ray.get(reference))
            except RayTaskError as error:
                raise error.cause from None
            except RayError as error:
                if tries < TRIES:
                    self.redone += 1
                    self.start(name, work, tries + 1)
                else:
                    why = (str(error).strip().splitlines() or [type(error).__name__])[0]
                    yield Done(name, None, f"{TRIES} workers were lost with it: {why}")

    def close(self) -> None:
        """Give up what goes on."""
        for reference in self.tasks:
            ray.cancel(reference, force=True)
        self.tasks.clear()
