"""`gmemsim sweep`: run what is missing of an experiment, conclude, write, tell; returns the exit status."""

import shlex
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from workloads import simulate
from workloads.code_version import code_version
from workloads.execute import opened
from workloads.experiment.drive import Drive, refuse_mistakes
from workloads.experiment.points import combinations, scenario_of
from workloads.experiment.progress import Told
from workloads.experiment.pursuit import Pursuits
from workloads.experiment.read import load
from workloads.experiment.record import record
from workloads.experiment.records import Experiment
from workloads.experiment.store import Store
from workloads.flags import once
from workloads.loads.pace import closed_loops
from workloads.outcome import folder as results
from workloads.outcome.files import RUNS
from workloads.outcome.summary import exit_status
from workloads.outcome.sweep_terminal import show_sweep
from workloads.pool import executor_of, pool
from workloads.reader import tell
from workloads.session import Settings
from workloads.watch import Stop


def sweep(source: str, flags: dict[str, Any]) -> int:
    """As it was typed."""
    overrides = tuple(once(flags["overrides"]))
    executor = executor_of(flags)
    experiment = load(source, overrides)
    seeds = flags["seeds"] or experiment.about.seeds
    settings = Settings.of({**flags, "seeds": seeds})
    refuse_mistakes(experiment, seeds)
    how = How(settings, executor, flags["workers"] or 0, again(source, flags))
    with opened(settings, experiment.about.name, first_seed(experiment)) as folder:
        return in_folder(experiment, how, folder)


class How(NamedTuple):
    """How a sweep is run. `workers` 0 are one for each CPU; `command` is how to run it again."""

    settings: Settings
    executor: str
    workers: int
    command: str


def again(source: str, flags: dict[str, Any]) -> str:
    """The command, with what changes its points."""
    words = ["gmemsim", "sweep", source]
    words += [word for text in flags["overrides"] for word in ("--set", text)]
    words += ["--seeds", str(flags["seeds"])] if flags["seeds"] else []
    return shlex.join(words)


def in_folder(experiment: Experiment, how: How, folder: Path) -> int:
    """Run what is missing, conclude, write, tell."""
    began = time.perf_counter()
    settings, name = how.settings, experiment.about.name
    stop, pursuits = Stop(settings.time_limit), Pursuits(experiment)
    with stop.signals():
        with (
            Told(name, settings.silent, experiment.search is not None) as told,
            pool(how.executor, settings.address, how.workers, stop.asked) as runs,
        ):
            drive = Drive(experiment, settings.seeds, Store(folder.parent / RUNS), told)
            drive.run(pursuits.all(), runs, stop.asked)
        about = {
            "command": how.command,
            "closed_loops": loops(experiment),
            "wall_seconds": time.perf_counter() - began,
            "redone": runs.redone,
            "date": datetime.now(UTC).date().isoformat(),
            "code": code_version(),
        }
        found = record(experiment, drive, pursuits, stop.why, about)
        results.write_sweep(folder, experiment.text, found)
        results.point_latest(folder)
    tell(found, settings.as_json, settings.quiet, lambda: show_sweep(found, folder))
    return exit_status(found["verdict"])


def first_seed(experiment: Experiment) -> int:
    """Of the points, unless an axis says otherwise."""
    return scenario_of(experiment, next(combinations(experiment.axes))).scenario.scenario.seed


def loops(experiment: Experiment) -> list[str]:
    """Workloads that wait for answers, in any combination of the axes."""
    found = [scenario_of(experiment, point).scenario for point in combinations(experiment.axes)]
    different = {scenario.workload: scenario for scenario in found}  # logs are read once
    plans = (simulate.prepare(scenario).plan for scenario in different.values())
    return list(dict.fromkeys(line for plan in plans for line in closed_loops(plan)))
