"""Whoever reads standard output."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from workloads.errors import UsageError


@contextmanager
def to_reader() -> Iterator[None]:
    """What results say is on disk, too, so a reader that has gone away changes nothing."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        _forget()
    except OSError as error:
        _forget()
        raise UsageError(f"standard output: cannot be written: {error.strerror}") from None


def _forget() -> None:
    """Python flushes it at its end."""
    sys.stdout = open(os.devnull, "w")  # noqa: SIM115
