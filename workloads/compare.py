"""All protocols on the same seed, load and faults, one after the other, and what each of them leaves behind."""

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from actors.protocols import PROTOCOLS
from workloads import simulate
from workloads.adjust import Adjusted, adjusted
from workloads.errors import UsageError
from workloads.execute import lingering, results_folder
from workloads.loads.pace import closed_loops
from workloads.outcome import folder as results
from workloads.outcome.compare_terminal import show_comparison
from workloads.outcome.comparison import comparison
from workloads.outcome.summary import exit_status
from workloads.reader import tell
from workloads.scenario import Scenario
from workloads.session import Session, Settings, Summary, running, session
from workloads.wording import quote, suggestion


def chosen(names: Sequence[str]) -> list[str]:
    """The protocols that were asked for, in the order of their table; all of them if none was."""
    asked = [name.strip() for text in names for name in text.split(",")]
    for name in asked:
        if name not in PROTOCOLS:
            known = suggestion(name, PROTOCOLS, "protocols")
            raise UsageError(f"--protocol: found {quote(name)}, expected a protocol; {known}")
        if asked.count(name) > 1:
            raise UsageError(f"--protocol: found {name} twice, expected each protocol once")
    return [name for name in PROTOCOLS if not asked or name in asked]


def refuse_name(overrides: Sequence[str]) -> None:
    """A comparison runs them all, so there is none to be set."""
    if any(text.partition("=")[0].strip() == "protocol.name" for text in overrides):
        raise UsageError(
            "--set protocol.name: found one protocol, but all are compared; "
            "expected --protocol NAME[,NAME] for some of them"
        )


def compare(scenario: Scenario, protocols: Sequence[str], settings: Settings) -> int:
    """Run the scenario under each of them and leave the comparison; returns the exit status."""
    plans = {name: adjusted(scenario, name) for name in protocols}
    job = simulate.prepare(scenario)
    with results_folder(settings, scenario) as folder:
        return in_folder(job, plans, settings, folder)


def in_folder(
    job: simulate.Job, plans: dict[str, Adjusted], settings: Settings, folder: Path
) -> int:
    """Run, conclude, write, tell."""
    scenario = job.plan.scenario
    with session(scenario, settings, folder) as found:
        with running(found, scenario, several=True):
            runs = run_all(found, job, plans)
            record = comparison(about(job, plans), list(plans), runs, settings.seeds)
            results.write_comparison(folder, scenario, record)
            results.point_latest(folder)
        tell(record, settings.as_json, settings.quiet, lambda: show_comparison(record, folder))
        lingering(scenario, found.exporter is not None)
    return exit_status(record["verdict"])


def run_all(
    found: Session, job: simulate.Job, plans: dict[str, Adjusted]
) -> dict[str, list[Summary]]:
    """Protocol -> its summaries by seed, until it is to end. Each run has a folder of its own."""
    runs: dict[str, list[Summary]] = {}
    for name, plan in plans.items():
        if runs and found.stop.asked():
            break
        if not found.settings.silent:
            for text in changes(plan):
                print(f"{name}: {text}", file=sys.stderr)
        runs[name] = found.seeds(simulate.again(job, plan.scenario), found.folder / name, name)
    return runs


def changes(plan: Adjusted) -> Iterable[str]:
    """What the protocol needs otherwise, a line each."""
    return (
        f"runs with {key} = {change['now']}, not {change['was']}"
        for key, change in plan.changed.items()
    )


def about(job: simulate.Job, plans: dict[str, Adjusted]) -> dict[str, Any]:
    """What is compared, and where it is not quite of equals."""
    scenario = job.plan.scenario
    return {
        "scenario": scenario.scenario.name,
        "seed": scenario.scenario.seed,
        "closed_loops": list(closed_loops(job.plan)),
        "adjustments": {name: plan.changed for name, plan in plans.items() if plan.changed},
    }
