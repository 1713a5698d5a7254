"""Checkpoints of a whole run, on disk: when they are due, and one file that is there whole or not at all."""

import os
import time
from collections.abc import Sequence
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from typing import Any

import msgspec

from cluster.checkpoint import BadCheckpointError
from cluster.placement import Places

MAGIC = b"gmemsim checkpoint 2\n"
SEAL = 32
# After a checkpoint that took a second none for twenty: five hundredths of the time at most.
SHARE = 20
FIRST_SECONDS = 1.0  # to the first one, at most
# But one as soon as a partition would have to be told so much again, were its worker lost: all that is in memory here.
LOGGED_MAX = 64 << 20


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

    `interval` is wall seconds, 0: none is due for the time that has passed. `blank` is what every checkpoint of this
    run has in common. What it came to: `count` of them, `seconds` in all, `size` of the last in bytes, and in `error`
    why the last could not be written; a disk that is full costs no run.
    """

    def __init__(self, path: Path | None, interval: float, blank: Saved) -> None:
        self.path = path
        self.interval = interval
        self.blank = blank
        self.count = self.size = 0
        self.seconds = 0.0
        self.error = ""
        self._since = time.perf_counter()
        self._last = 0.0

    def due(self, logged: int) -> bool:
        """Is it time? `logged` are the bytes that the partition with the most would have to be told again."""
        # The first comes soon, so that a run that is lost when it is young leaves something.
        interval = self.interval if self.count else min(self.interval, FIRST_SECONDS)
        pause = max(interval, SHARE * self._last)
        passed = time.perf_counter() - self._since >= pause
        return logged > LOGGED_MAX or (passed and self.interval > 0)

    def keep(self, took: float, states: Sequence[bytes], **rest: Any) -> None:
        """To collect the states took so many seconds. The last checkpoint stays until this one is whole."""
        began = time.perf_counter()
        self.size = sum(map(len, states))
        if self.path:
            saved = msgspec.structs.replace(self.blank, states=list(states), **rest)
            try:
                self.size, self.error = write(self.path, saved), ""
            except OSError as error:
                self.error = error.strerror or str(error)
        self._since = time.perf_counter()
        self._last = took + self._since - began
        self.count += 1
        self.seconds += self._last


def write(path: Path, saved: Saved) -> int:
    """Atomically; returns the bytes. Of one that does not fit nothing stays, and the one before it does."""
    body = msgspec.msgpack.encode(saved)
    text = MAGIC + blake2b(body, digest_size=SEAL).digest() + body
    draft = path.with_suffix(".tmp")
    try:
        with draft.open("wb") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError:
        with suppress(OSError):
            draft.unlink(missing_ok=True)
        raise
    return len(text)


def read(path: Path) -> Saved:
    """BadCheckpointError when it is none, or damaged."""
    with path.open("rb") as file:
        if file.read(len(MAGIC)) != MAGIC:  # before the rest is: a device would never end
            raise BadCheckpointError("not a checkpoint of this version of gmemsim")
        seal, body = file.read(SEAL), file.read()
    if blake2b(body, digest_size=SEAL).digest() != seal:
        raise BadCheckpointError("damaged: its checksum is another one")
    try:
        return msgspec.msgpack.decode(body, type=Saved)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadCheckpointError(f"not a checkpoint: {error}") from error


def key_of(plan: bytes, version: str) -> bytes:
    """Names what is run, and by which code."""
    return blake2b(version.encode() + b"\n" + plan, digest_size=16).digest()
