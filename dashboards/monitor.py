"""A Prometheus of one's own: it scrapes every run that says where it is, and keeps what it saw beside the results.

RESULTS/.monitor/targets/*.json     where a run is served, written by the run (Prometheus' file_sd)
RESULTS/.monitor/data               what was scraped
RESULTS/.monitor/*.yml              the shipped configuration and rules
"""

import json
import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

SHIPPED = Path(__file__).parent / "prometheus"
HOME = ".monitor"
LOCAL = "127.0.0.1"
READY_SECONDS = 20
KEPT = "90d"


class MonitorError(Exception):
    """Prometheus is missing or does not start; the text says why in one line."""


@contextmanager
def announced(results: Path, url: str, labels: Mapping[str, str]) -> Iterator[None]:
    """While a run is served at `url`, tell who looks. `labels` name it; `run_id` is among them."""
    target = url.removeprefix("http://").removesuffix("/metrics")
    path = results / HOME / "targets" / f"{labels['run_id'].replace('/', '-')}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".tmp")  # Prometheus never sees half a file
    draft.write_text(json.dumps([{"targets": [target], "labels": dict(labels)}]) + "\n")
    draft.replace(path)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


@contextmanager
def prometheus(results: Path, port: int) -> Iterator[str]:
    """One that runs until this is left; yields its address."""
    program = shutil.which("prometheus")
    if not program:
        raise MonitorError(
            "prometheus is not installed; on Debian and Ubuntu: apt-get install prometheus"
        )
    check_free(port)
    home = results / HOME
    (home / "targets").mkdir(parents=True, exist_ok=True)
    for path in SHIPPED.glob("*.yml"):
        shutil.copy(path, home / path.name)
    command = [
        program,
        f"--config.file={home / 'prometheus.yml'}",
        f"--storage.tsdb.path={home / 'data'}",
        f"--storage.tsdb.retention.time={KEPT}",
        f"--web.listen-address={LOCAL}:{port}",
        "--log.level=error",
    ]
    url = f"http://{LOCAL}:{port}"
    # A group of its own: Ctrl-C is ours to hand on.
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, process_group=0) as process:
        try:
            wait_until_ready(url, process)
            yield url
        finally:
            process.terminate()


def check_free(port: int) -> None:
    """Whoever has the port already would answer in the place of ours."""
    try:
        socket.create_server((LOCAL, port)).close()
    except OSError as error:
        why = os.strerror(error.errno or 0).lower()
        raise MonitorError(f"--port: {port} on {LOCAL}: {why}; choose another one") from None


def wait_until_ready(url: str, process: "subprocess.Popen[str]") -> None:
    """It answers, or it has ended and said why."""
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            said = (process.stderr.read() if process.stderr else "").strip().splitlines()
            why = said[-1].rpartition("err=")[2] if said else f"status {process.returncode}"
            raise MonitorError(f"prometheus does not start: {why.strip(chr(34))}")
        try:
            with urllib.request.urlopen(f"{url}/-/ready", timeout=1):
                return
        except OSError:
            time.sleep(0.1)
    raise MonitorError(f"prometheus is not ready at {url} after {READY_SECONDS} s")
