"""`gmemsim resume`: a run that was stopped, or whose driver died, goes on from its last checkpoint."""

from os.path import isdir  # unlike Path's, False for a path that no file can have
from pathlib import Path
from typing import Any

from cluster.checkpoint import BadCheckpointError
from cluster.fault_points import FAULT_POINTS
from cluster.keeping import Saved, read
from workloads import scenario as scenarios
from workloads import simulate
from workloads.errors import UsageError
from workloads.execute import ANECDOTE, told
from workloads.flags import as_overrides, refuse_idle
from workloads.outcome.files import CHECKPOINT, SCENARIO
from workloads.outcome.read import EXPECTED, folder_of, refuse_pipe, shown
from workloads.session import Settings


def resume(result: str, settings: Settings, flags: dict[str, Any]) -> int:
    """Go on in the same folder, with another executor if the flags say so; returns the exit status."""
    folder = folder_of(result)
    saved = checkpoint(folder)
    refuse_pipe(folder / SCENARIO)
    folder = folder.resolve()
    scenario = scenarios.load(str(folder / SCENARIO), as_overrides(flags), FAULT_POINTS)
    refuse_idle(scenario, flags)
    job = simulate.prepare(scenario)
    if saved.key != simulate.key(job):
        raise UsageError(
            f"{shown(folder / CHECKPOINT)}: of another version of gmemsim, or of another scenario "
            f"than {SCENARIO} beside it; expected to be resumed as it was left"
        )
    return told(settings, job, folder, ANECDOTE, saved)


def checkpoint(folder: Path) -> Saved:
    """The one in a results folder; a UsageError where there is none that can be gone on from."""
    path = folder / CHECKPOINT
    if not isdir(folder):
        raise UsageError(f"{shown(folder)}: no such folder; {EXPECTED}")
    refuse_pipe(path)
    try:
        return read(path)
    except FileNotFoundError:
        within = sorted(folder.rglob(CHECKPOINT))
        # Of a comparison, or of several seeds: one of its runs.
        hint = f"; nearest: {shown(within[0].parent)}" if within else ""
        raise UsageError(
            f"{shown(path)}: no such file; expected the results of a run that is not over, and was "
            f"stopped or has lived for engine.checkpoint_interval{hint}"
        ) from None
    except OSError as error:
        raise UsageError(f"{shown(path)}: cannot be read: {error.strerror}") from None
    except BadCheckpointError as error:
        raise UsageError(f"{shown(path)}: {error}") from None
