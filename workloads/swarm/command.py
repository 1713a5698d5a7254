"""`gmemsim swarm`: random scenarios for a time or a count; returns the exit status."""

import shlex
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from workloads.errors import UsageError
from workloads.execute import opened
from workloads.outcome import folder as results
from workloads.outcome.files import json_text, write_text
from workloads.outcome.summary import exit_status
from workloads.pool import executor_of, pool
from workloads.reader import tell
from workloads.scenario import to_short_toml, to_toml
from workloads.session import Settings, seconds_of
from workloads.swarm import trial
from workloads.swarm.coverage import coverage
from workloads.swarm.drive import Failing, Limits, Swarm, again_on
from workloads.swarm.show import show
from workloads.watch import Stop

RUNS = 100  # where neither a count nor a time is given
EVERY_SECONDS = 5.0
RECORD, WHOLE, SMALL, STORY = "swarm.json", "scenario.toml", "smallest.toml", "story.txt"


def swarm(flags: dict[str, Any]) -> int:
    """As it was typed."""
    executor = executor_of(flags)
    settings = Settings.of(flags)
    limits = limits_of(flags, settings.time_limit)
    with opened(settings, "swarm", limits.first) as folder:
        return in_folder(executor, flags["workers"] or 0, settings, limits, folder)


def limits_of(flags: dict[str, Any], time_limit: float | None) -> Limits:
    """A time alone is without a count."""
    runs = flags["runs"] or (0 if time_limit is not None else RUNS)
    hang = seconds_of(flags["hang"], "--hang")
    if hang is None or hang <= 0:
        raise UsageError("--hang: found none, expected a time such as 60s")
    return Limits(flags["seed"], runs, flags["again"], hang)


def in_folder(executor: str, workers: int, settings: Settings, limits: Limits, folder: Path) -> int:
    """Run, write, tell."""
    began = time.perf_counter()
    found = Swarm(limits, again_on(executor, settings.address))
    stop = Stop(settings.time_limit)
    asked = stop.asked if settings.silent else telling(found, stop.asked)

    def kept(failing: Failing) -> None:
        keep(folder, failing)

    with (
        stop.signals(),
        pool(executor, settings.address, workers, stop.asked, trial.run) as runs,
    ):
        found.run(runs, asked, kept)
    stopped = stop.why if stop.why.startswith("stopped") else ""
    about = record(found, folder, stopped, time.perf_counter() - began)
    write_text(folder / RECORD, json_text(about))
    results.point_latest(folder)
    tell(about, settings.as_json, settings.quiet, lambda: show(about, folder))
    return exit_status(about["verdict"])


def telling(found: Swarm, asked: Callable[[], bool]) -> Callable[[], bool]:
    """The same question, with a line now and then for who waits."""
    began = last = time.monotonic()

    def told() -> bool:
        nonlocal last
        now = time.monotonic()
        if now - last >= EVERY_SECONDS:
            last = now
            text = f"{len(found.found):,} runs in {now - began:.0f} s, {len(found.failing)} fail"
            seed, tries = found.small
            small = f"; seed {seed} is made small, {tries} runs until now" if seed else ""
            print(f"swarm: {text}{small}", file=sys.stderr, flush=True)
        return asked()

    return told


def keep(folder: Path, failing: Failing) -> None:
    """A failure's files: the scenario as it was drawn, the smallest that fails so, and how it came about."""
    own = folder / str(failing.seed)
    own.mkdir()
    write_text(own / WHOLE, to_toml(failing.scenario))
    write_text(own / SMALL, to_short_toml(failing.small or failing.scenario))
    write_text(own / STORY, "".join(f"{line}\n" for line in failing.failure.lines))


def record(found: Swarm, folder: Path, stopped: str, seconds: float) -> dict[str, Any]:
    """All of it, as plain data. `violated` are the runs that failed, however they did."""
    failures = [told(one, folder) for one in found.failing]
    reasons = [*found.lost, *([stopped] if stopped else [])]
    if not found.found:
        reasons.append("not a single run came to its end")
    verdict = "violated" if failures else "unknown" if reasons else "valid"
    return {
        "verdict": verdict,
        "reasons": reasons,
        "first_seed": found.limits.first,
        "runs": len(found.found),
        "violated": len(failures),
        "checked_again": found.checked,
        "events": sum(one.events for one in found.found.values()),
        "wall_seconds": seconds,
        "failures": failures,
        "coverage": coverage(found.found.values()),
    }


def told(failing: Failing, folder: Path) -> dict[str, Any]:
    """One seed that fails. Who fails as one before is only named."""
    own = folder / str(failing.like or failing.seed) / SMALL
    failure = failing.failure
    return {
        "seed": failing.seed,
        "kind": failure.kind,
        "what": failure.what,
        "text": failure.lines[-1 if failure.kind in ("crash", "hang") else 0],
        "like": failing.like or None,
        "command": shlex.join(["gmemsim", "run", str(own.resolve())]),
    }
