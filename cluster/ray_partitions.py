"""Partitions as Ray actors. This file alone connects the engine to Ray; it knows nothing of what is simulated."""

import itertools
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from typing import Any

import msgspec
import ray
from ray.exceptions import (
    NodeDiedError,
    ObjectLostError,
    OutOfMemoryError,
    RayActorError,
    RayError,
    RayTaskError,
    WorkerCrashedError,
)

from cluster.drive import Handle
from cluster.lasting import Lasting, LossError, WorkerBugError, WorkerLost
from cluster.memory import peak_rss_bytes
from cluster.partition import Order, Partition, Report
from cluster.placement import Places
from cluster.world import Build

KNOCK_SECONDS = 5
QUIET_SECONDS, LOOK_SECONDS = 10, 0.5  # before a word of workers that do not start, and then
START_SECONDS = (
    300  # for all workers; a process takes a second, a node that is being filled some more
)
SUPPORTED = (2, 52), (3, 0)  # Ray from the first on, before the second (pyproject.toml)
LOST = RayActorError, ObjectLostError, OutOfMemoryError, WorkerCrashedError, NodeDiedError
_REPORT = msgspec.msgpack.Decoder(Report)
_PLACES = msgspec.msgpack.Decoder(Places)
_ORDER = msgspec.msgpack.Decoder(Order)


class RayUnavailableError(Exception):
    """No Ray cluster could be reached or started; the text says why in one line."""


class Worker:
    """What a Ray actor holds: one partition. Orders and reports cross as msgpack bytes."""

    def __init__(self, build: Build, plan: bytes, places: bytes, place: int) -> None:
        self.partition = Partition(build, plan, _PLACES.decode(places), place)

    def advance(self, order: bytes) -> bytes:
        """Carry out one order."""
        return msgspec.msgpack.encode(self.partition.advance(_ORDER.decode(order)))

    def watched(self) -> bytes:
        """What the watchers have seen so far."""
        return self.partition.watched()

    def checkpoint(self) -> bytes:
        """Its state between two orders."""
        return self.partition.checkpoint()

    def resume(self, state: bytes) -> int:
        """Go on from a checkpoint."""
        return self.partition.resume(state)

    def digests(self) -> dict[int, bytes]:
        """See cluster.partition.Partition."""
        return self.partition.digests()

    def census(self) -> dict[str, int]:
        """The world's own count over its actors' states."""
        return self.partition.census()

    def balance(self) -> int:
        """See cluster.partition.Partition."""
        return self.partition.balance()

    def peak_rss_bytes(self) -> int:
        """Of this worker's process."""
        return peak_rss_bytes()

    def node(self) -> str:
        """Where this worker runs."""
        found: str = ray.get_runtime_context().get_node_id()
        return found


class RayWorker:
    """A partition in a Ray actor (cluster.lasting.Worker)."""

    recoveries = events_redone = logged = 0

    def __init__(self, actor: Any) -> None:
        self.actor = actor
        self.pending: Any = None

    def begin(self, order: Order) -> None:
        """See cluster.drive.Handle."""
        self.pending = self.actor.advance.remote(msgspec.msgpack.encode(order))

    def finish(self) -> Report:
        """See cluster.drive.Handle."""
        pending, self.pending = self.pending, None
        return _REPORT.decode(fetched(pending))

    def checkpoint(self) -> bytes:
        """See cluster.drive.Handle. What comes back is in this process, and no node's loss takes it along."""
        return bytes(fetched(self.actor.checkpoint.remote()))

    def resume(self, state: bytes) -> int:
        """See cluster.drive.Handle."""
        return int(fetched(self.actor.resume.remote(state)))

    def node(self) -> str:
        """Where the actor runs."""
        return str(fetched(self.actor.node.remote()))

    def watched(self) -> bytes:
        """See cluster.drive.Handle."""
        return bytes(fetched(self.actor.watched.remote()))

    def digests(self) -> dict[int, bytes]:
        """See cluster.drive.Handle."""
        return dict(fetched(self.actor.digests.remote()))

    def census(self) -> dict[str, int]:
        """See cluster.drive.Handle."""
        return dict(fetched(self.actor.census.remote()))

    def balance(self) -> int:
        """See cluster.drive.Handle."""
        return int(fetched(self.actor.balance.remote()))

    def peak_rss_bytes(self) -> int:
        """See cluster.drive.Handle."""
        return int(fetched(self.actor.peak_rss_bytes.remote()))


def fetched(reference: Any) -> Any:
    """What a worker answered; WorkerLost when it is gone, with its process or its node."""
    try:
        return ray.get(reference)
    except LOST as error:
        text = str(error)
        if getattr(error, "actor_init_failed", False):
            raise WorkerBugError(error_of(text), text) from error
        raise WorkerLost(text) from error
    except RayTaskError as error:
        (line, *_) = str(error.cause).splitlines() or [""]
        raise WorkerBugError(f"{type(error.cause).__name__}: {line}", str(error)) from error


def error_of(trace: str) -> str:
    """The first line of the error under a traceback, whose own lines are indented."""
    lines = trace.strip().splitlines()
    frames = [n for n, line in enumerate(lines[:-1]) if line.startswith(" ")]
    return lines[frames[-1] + 1 if frames else 0]


def first_ready(handles: Sequence[Handle]) -> int:
    """Index of the handle whose report came first, or whose worker was lost."""
    pending = [handle.worker.pending for handle in handles]  # type: ignore[attr-defined]
    ready, _ = ray.wait(pending, num_returns=1)
    return pending.index(ready[0])


@contextmanager
def cluster(address: str | None, partitions: int) -> Iterator[None]:
    """Join the cluster at `address`, or the one whose job this is, else start one here for as long as needed."""
    if ray.is_initialized():
        yield
        return
    refuse_version(ray.__version__)
    # Ray tells of every worker that dies on standard output, which is the summary's.
    with redirect_stdout(sys.stderr):
        connect(address or os.environ.get("RAY_ADDRESS"), partitions)
        try:
            yield
        finally:
            ray.shutdown()


def refuse_version(found: str) -> None:
    """Before anything is started with a Ray that this was never run on."""
    numbers = tuple(int(part) for part in found.split(".")[:2] if part.isdigit())
    least, beyond = SUPPORTED
    if not least <= numbers < beyond:
        wanted = " or later, before ".join(".".join(map(str, edge)) for edge in SUPPORTED)
        raise RayUnavailableError(f"Ray {found} is installed, expected {wanted}")


def connect(address: str | None, partitions: int) -> None:
    """Once; a cluster of our own serves this machine alone and has no dashboard."""
    options: dict[str, Any] = {"logging_level": "ERROR", "log_to_driver": False}
    if address:
        options["address"] = address
    else:
        cpus = max(partitions, os.cpu_count() or 1)
        options |= {"address": "local", "num_cpus": cpus, "include_dashboard": False}
    main = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGTERM)
    try:
        if address:
            knock(address)
        ray.init(**options)
        if main:  # Ray has put its own in place, which ends the process with nothing kept
            signal.signal(signal.SIGTERM, handler)
    except Exception as error:  # one that does not start in time says so with a plain Exception
        # Of two versions that differ Ray tells in several lines, and a report's layout.
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        reason = " ".join(lines if "mismatch" in str(error) else lines[:1]) or type(error).__name__
        where = f"at {address}" if address else "on this machine"
        raise RayUnavailableError(f"no Ray cluster {where}: {reason}") from error


def knock(address: str) -> None:
    """Ray itself waits long for an address that does not answer; a closed port can be told at once."""
    if address == "auto":
        return
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():
        raise ValueError(f"{address!r} is not HOST:PORT, ray://HOST:PORT or auto")
    with socket.create_connection((host, int(port)), timeout=KNOCK_SECONDS):
        pass


def start(
    build: Build, plan: bytes, places: Places, stop: Callable[[], bool]
) -> list[Lasting[RayWorker]]:
    """One Ray actor for each partition, spread over the nodes, and another whenever one is lost."""
    encoded = msgspec.msgpack.encode(places)

    def worker(place: int, cpus: float, generation: int = 0) -> RayWorker:
        name = places.names[place] + (f"+{generation}" if generation else "")
        options = {
            "num_cpus": cpus,
            "max_restarts": 0,
            "scheduling_strategy": "SPREAD",
            "name": name,
        }
        remote = ray.remote(Worker).options(**options)
        return RayWorker(remote.remote(build, plan, encoded, place))

    def after(place: int, last: RayWorker) -> Iterator[RayWorker]:
        """They ask for no CPU: the first one's share may have gone with its node."""
        for generation in itertools.count(1):
            end(last)  # which may only have been out of reach
            last = worker(place, 0, generation)
            yield last

    def lasting(place: int, first: RayWorker) -> Lasting[RayWorker]:
        later = after(place, first)
        return Lasting(places.names[place], first, lambda: next(later))

    cpus = share([int(node["Resources"].get("CPU", 0)) for node in ray.nodes() if node["Alive"]],
                 ray.available_resources().get("CPU", 0), places.count)  # fmt: skip
    workers = [worker(place, cpus) for place in range(places.count)]
    wait_for(workers, stop)
    return [lasting(place, found) for place, found in enumerate(workers)]


def share(nodes: Sequence[int], free: float, workers: int) -> float:
    """CPUs that each worker asks for: so many that all find room at once, on nodes of so many CPUs.

    None where others have taken them: beside those a run is slow, behind them it might not begin at all.
    """
    for_each = -(-workers // max(1, sum(nodes)))  # workers on one CPU
    found = 10_000 // for_each / 10_000  # Ray counts in ten-thousandths
    return found if found * workers <= free else 0.0


def wait_for(workers: Sequence[RayWorker], stop: Callable[[], bool]) -> None:
    """Until all are there: a run that hangs tells nobody why. After some seconds it says so, and heeds `stop`."""
    there = [worker.actor.node.remote() for worker in workers]
    wait, deadline = float(QUIET_SECONDS), time.monotonic() + START_SECONDS
    while True:
        ready, missing = ray.wait(there, num_returns=len(there), timeout=wait)
        if not missing:
            return
        text = f"{len(missing)} of {len(there)} workers to start"
        stopped = stop()
        if stopped or time.monotonic() > deadline:
            for worker in workers:
                end(worker)
            if stopped:
                raise LossError(f"stopped while waiting for {text}")
            raise RayUnavailableError(
                f"{len(ready)} of {len(there)} workers have started within {START_SECONDS} s; {room()}"
            )
        if wait == QUIET_SECONDS:
            print(f"waiting for {text}; {room()}", file=sys.stderr, flush=True)
        wait = LOOK_SECONDS


def room() -> str:
    """Of the cluster."""
    free, cpus = (
        found.get("CPU", 0) for found in (ray.available_resources(), ray.cluster_resources())
    )
    return f"{free:g} of the cluster's {cpus:g} CPUs are free"


def nodes(handles: Sequence[Lasting[RayWorker]]) -> int:
    """How many distinct nodes hold them."""
    return len({handle.ask(RayWorker.node) for handle in handles})


def end(worker: RayWorker) -> None:
    """Its process."""
    with suppress(RayError):
        ray.kill(worker.actor)


def stop(handles: Sequence[Lasting[RayWorker]]) -> None:
    """End the workers."""
    for handle in handles:
        end(handle.worker)
