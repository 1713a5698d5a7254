"""`gmemsim monitor` and `gmemsim dashboards`: what the command line adds to dashboards/."""

import os
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dashboards.monitor import MonitorError, prometheus
from workloads.errors import UsageError
from workloads.outcome.folder import STAMP
from workloads.reader import to_reader
from workloads.watch import interruptible

if TYPE_CHECKING:
    from dashboards.marks import Mark

TOKEN = "GRAFANA_TOKEN"


def watch(results: str, port: int) -> None:
    """Prometheus, until Ctrl-C or SIGTERM."""
    try:
        with interruptible(), prometheus(Path(results), port) as url:
            click.echo(
                f"prometheus at {url} watches {results}; now gmemsim run SCENARIO --metrics-port 0",
                err=True,
            )
            signal.pause()
    except KeyboardInterrupt:
        return
    except MonitorError as error:
        raise UsageError(str(error)) from None
    except OSError as error:
        raise UsageError(f"--results: {error.filename or results}: {error.strerror}") from None


def publish(url: str, token_file: str | None, source: str, dry: bool, result: str | None) -> None:
    """One line for each piece; a dry run adds what differs, of what is there already."""
    from dashboards.marks import annotate
    from dashboards.publish import publish
    from dashboards.publisher import Grafana, PublishError

    run_id, found = marks_of(result) if result else ("", ())
    try:
        grafana = Grafana(url, token(token_file))
        for change in publish(grafana, source, dry):
            tell(str(change))
            if dry and change.deed == "updated":
                tell(change.diff)
        for text in annotate(grafana, run_id, found, dry) if found else ():
            tell(text)
    except PublishError as error:
        raise UsageError(str(error)) from None


def marks_of(result: str) -> "tuple[str, list[Mark]]":
    """The run's id, and what to mark; its folder's name begins with the time at which it began."""
    from dashboards.marks import marks
    from workloads.outcome.folder import run_id_of
    from workloads.outcome.read import folder_of, read_summary

    folder = folder_of(result).resolve()
    run_id = run_id_of(folder)
    try:
        began = datetime.strptime(folder.name.partition("-")[0], STAMP).replace(tzinfo=UTC)
    except ValueError:
        raise UsageError(f"--result: {result}: expected a folder such as TIME-SEED") from None
    return run_id, list(marks(read_summary(result), run_id, round(1000 * began.timestamp())))


def token(path: str | None) -> str:
    """Never an argument: those are seen by everybody on the machine."""
    if path is None:
        found = os.environ.get(TOKEN, "")
    else:
        try:
            found = Path(path).read_text()
        except (OSError, UnicodeDecodeError) as error:
            why = getattr(error, "strerror", None) or "it is no text"
            raise UsageError(f"--token-file: {path}: {why}") from None
    found = found.strip()
    if not found or not (found.isascii() and found.isprintable()) or " " in found:
        where = f"--token-file: {path}" if path else TOKEN
        what = "what is no token" if found else "nothing"
        raise UsageError(
            f"{where}: found {what}, expected the token of a Grafana service account and nothing else"
        )
    return found


def tell(line: str) -> None:
    """What is under way goes on when nobody reads any more."""
    with to_reader():
        click.echo(line)


def provision(folder: str, source: str) -> None:
    """Write the files, and say what became of each."""
    from dashboards.provision import ForeignFileError, provision

    try:
        written = provision(Path(folder), source)
    except ForeignFileError as error:
        raise UsageError(f"DIR: {error}") from None
    except OSError as error:
        raise UsageError(f"DIR: {error.filename or folder}: {error.strerror}") from None
    for path, became in written.items():
        tell(f"{path}: {became}")
    print("mount DIR as Grafana's provisioning folder", file=sys.stderr)
