"""A reader in a process of its own that may take so much memory more, and so much CPU time, and no more."""

import multiprocessing
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

MORE = 256 << 20
CPU_SECONDS = 100  # a hang, on any machine
PAGE = resource.getpagesize()


def within_bounds(call: Callable[..., Any], *arguments: object) -> None:
    """It returns or raises what it documents, with at most MORE bytes of address space beyond those of now."""
    child = multiprocessing.get_context("fork").Process(target=_limited, args=(call, *arguments))
    child.start()
    child.join()
    assert child.exitcode == 0, f"{call.__name__}: exit code {child.exitcode}, said on stderr"


def _limited(call: Callable[..., Any], *arguments: object) -> None:
    now = int(Path("/proc/self/statm").read_text().split()[0]) * PAGE
    resource.setrlimit(resource.RLIMIT_AS, (now + MORE, now + MORE))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    call(*arguments)
