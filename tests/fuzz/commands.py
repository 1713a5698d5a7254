"""The command line within this process, and what must hold of how it ends, whatever it was given."""

import contextlib
import io
import sys
from typing import NamedTuple
from unittest import mock

from workloads.cli import main


class Ended(NamedTuple):
    """How a command ended."""

    status: int
    out: str
    err: str


def gmemsim(*words: object) -> Ended:
    """`gmemsim WORDS`; an exception that it lets out is the caller's to see."""
    out, err, status = io.StringIO(), io.StringIO(), 0
    with (
        mock.patch.object(sys, "argv", ["gmemsim", *map(str, words)]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            main()
        except SystemExit as end:
            assert end.code is None or isinstance(end.code, int), end.code
            status = end.code or 0
    return Ended(status, out.getvalue(), err.getvalue())


def ends_well(*words: object) -> Ended:
    """It does: with a documented status, and a mistake is one line."""
    ended = gmemsim(*words)
    assert ended.status in (0, 1, 2, 3), ended
    if ended.status == 2:
        assert ended.err.startswith("gmemsim: ") and ended.err.endswith("\n"), ended
        assert ended.err[:-1].isprintable(), ended
    return ended
