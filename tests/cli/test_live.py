"""`--live` on a terminal, and where there is none."""

import fcntl
import os
import re
import signal
import struct
import subprocess
import sys
import termios
import time
from contextlib import contextmanager

import pytest

# It goes on until enough of it has been seen.
ENDLESS = ("run", "quickstart", "--live", "--pace", "1ms", "--set", "scenario.conversions=0")
PATIENCE = 90.0  # seconds, for a machine with much else to do
ESCAPES = re.compile(rb"\x1b\[[0-9;?]*[A-Za-z]")
WANTED = (
    r"two-phase: quickstart",
    r"conversions +[1-9][\d,]*, \d+ failed for good, [\d.]+ ms simulated",
    r"throughput +[1-9][\d.,]*/s, [1-9][\d,]*/s of simulated time",
    r"latency +p50 [\d.]+ [um]s, p99 [\d.]+ [um]s",
    r"in flight +[1-9]",
    r"failures +E[A-Z]+ [1-9]",
    r"host 7 +\u2588+ +[1-9]\d* in flight, [1-9]",
)


@pytest.fixture
def terminal(tmp_path, environment):
    """Runs a command on a terminal of so many columns: yields the process and what reads its screen."""
    ours, theirs = os.openpty()
    os.set_blocking(ours, False)
    environment = {name: value for name, value in environment.items() if name != "COLUMNS"}

    def start(columns):
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        command = [sys.executable, "-m", "workloads", *ENDLESS]
        return subprocess.Popen(
            command, cwd=tmp_path, env=environment, stdin=theirs, stdout=theirs, stderr=theirs
        )

    def screen():
        try:
            return os.read(ours, 1 << 20)
        except BlockingIOError:
            time.sleep(0.05)
            return b""

    yield start, screen
    os.close(ours)
    os.close(theirs)


@contextmanager
def ending(run):
    """Whatever is found out about it."""
    try:
        yield
    finally:
        run.kill()


def lines(sent):
    return ESCAPES.sub(b"", bytes(sent)).decode(errors="replace").replace("\r", "\n").split("\n")


def seen(pattern, sent):
    return any(re.match(pattern, line) for line in lines(sent))


@pytest.mark.parametrize("columns", [60, 80, 100])
def test_the_run_is_seen_while_it_goes_and_its_results_stay(terminal, columns):
    start, screen = terminal
    sent, deadline = bytearray(), time.monotonic() + PATIENCE
    with start(columns) as run, ending(run):
        while not all(seen(pattern, sent) for pattern in WANTED):
            assert time.monotonic() < deadline, lines(sent)[-30:]
            sent += screen()
        run.send_signal(signal.SIGINT)
        while run.poll() is None:
            sent += screen()
        sent += screen()
    assert run.returncode == 3
    assert all(len(line) <= columns for line in lines(sent))
    assert not any("\u2026" in line for line in lines(sent)), "a bar is cut"
    drawn, results = sent.rsplit(b"UNKNOWN", 1)
    assert seen("throughput", drawn)
    assert not seen("throughput", results)
    assert seen("digest +[0-9a-f]{32}", results)


def test_without_a_terminal_there_are_lines_and_a_word_of_it(gmemsim):
    found = gmemsim("run", "quickstart", "--live", "--set", "scenario.conversions=200")
    assert found.returncode == 0
    first, *rest = found.stderr.decode().splitlines()
    assert first == "--live: standard error is no terminal; a line every five seconds instead"
    assert all(" conversions, " in line for line in rest)
    assert not ESCAPES.search(found.stderr + found.stdout)
