"""Whoever reads standard output."""

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

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


def tell(found: dict[str, Any], as_json: bool, quiet: bool, show: Callable[[], None]) -> None:
    """What a command came to: as JSON alone, or for people unless `quiet`."""
    with to_reader():
        if as_json:
            print(json.dumps(found, indent=2), flush=True)
        elif not quiet:
            show()


def _forget() -> None:
    """Python flushes it at its end."""
    sys.stdout = open(os.devnull, "w")  # noqa: SIM115
