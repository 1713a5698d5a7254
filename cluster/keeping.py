"""Checkpoints of a whole run, on disk: when they are due, and one file that is there whole or not at all."""

import os
import time
from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

import msgspec

from cluster.checkpoint import BadCheckpointError
from cluster.placement import Places

MAGIC = b"gmemsim checkpoint 1\n"
SEAL = 32
# After a checkpoint that took a second none for twenty: five hundredths of the time at most.
SHARE = 20


class Saved(msgspec.Struct, array_like=True):
    """A run between two orders. `key` names the fleet; lists are by partition."""

    key: bytes
    places: Places
    states: list[bytes] = []
    posted: list[int | None] = []  # when the earliest of `outbound` is due
    outbound: list[
        list[tuple[int, bytes]]
    ] = []  # messages that are on their way to other partitions
    retold: bytes = b""  # what the driver has watched, where it does
    windows: int = 0


class Keeper:
    """Says when a checkpoint is due and keeps the last one at `path`, if there is one.

    `interval` is wall seconds. `blank` is what every checkpoint of this run has in common.
    """

    def __init__(self, path: Path | None, interval: float, blank: Saved) -> None:
        self.path = path
        self.interval = interval
        self.blank = blank
        self._since = time.perf_counter()
        self._last = 0.0

    def due(self) -> bool:
        """Is it time?"""
        pause = max(self.interval, SHARE * self._last)
        return time.perf_counter() - self._since >= pause

    def keep(self, took: float, states: Sequence[bytes], **rest: Any) -> None:
        """To collect the states took so many seconds. The last checkpoint stays until this one is whole."""
        began = time.perf_counter()
        if self.path:
            write(self.path, msgspec.structs.replace(self.blank, states=list(states), **rest))
        self._since = time.perf_counter()
        self._last = took + self._since - began


def write(path: Path, saved: Saved) -> None:
    """Atomically."""
    body = msgspec.msgpack.encode(saved)
    draft = path.with_suffix(".tmp")
    with draft.open("wb") as file:
        file.write(MAGIC + blake2b(body, digest_size=SEAL).digest() + body)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def read(path: Path) -> Saved:
    """BadCheckpointError when it is none, or damaged."""
    text = path.read_bytes()
    seal, body = text[len(MAGIC) : len(MAGIC) + SEAL], text[len(MAGIC) + SEAL :]
    if not text.startswith(MAGIC):
        raise BadCheckpointError("not a checkpoint of this version of gmemsim")
    if blake2b(body, digest_size=SEAL).digest() != seal:
        raise BadCheckpointError("damaged: its checksum is another one")
    try:
        return msgspec.msgpack.decode(body, type=Saved)
    except msgspec.DecodeError as error:
        raise BadCheckpointError(f"not a checkpoint: {error}") from error


def key_of(plan: bytes, version: str) -> bytes:
    """Names what is run, and by which code."""
    return blake2b(version.encode() + b"\n" + plan, digest_size=16).digest()
