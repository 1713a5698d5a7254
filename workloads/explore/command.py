"""`gmemsim explore`: go through all states, tell what they show; returns the exit status."""

import json
import math
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from cluster.explore import ChoiceError, Limits, Search, steps_of
from workloads import __version__
from workloads.adjust import adjusted
from workloads.compare import chosen
from workloads.errors import UsageError
from workloads.explore import show
from workloads.explore.draw import STATES_MAX, picture
from workloads.explore.model import Model
from workloads.explore.properties import STATUS, Property, answers, plain, verdict_of
from workloads.explore.trace import told, trace_of
from workloads.reader import to_reader
from workloads.scenario import Scenario
from workloads.scenario.write import to_toml
from workloads.session import seconds_of

EVERY_SECONDS = 5.0


class Settings(NamedTuple):
    """What was typed. `limit` is of wall seconds."""

    protocol: str | None
    faults: int
    patient: bool
    limits: Limits
    limit: float | None
    choices: str | None
    draw: str | None
    save: str | None
    as_json: bool
    quiet: bool
    words: Sequence[str]


def settings_of(scenario: str, flags: dict[str, Any]) -> Settings:
    """From the command line's flags."""
    again = [scenario]
    for flag in ("protocol", "seed"):
        if flags.get(flag) is not None:
            again += [f"--{flag}", str(flags[flag])]
    for text in flags["overrides"]:
        again += ["--set", text]
    patient = flags["timeouts"] == "late"
    if not patient:
        again += ["--timeouts", "any"]
    return Settings(
        chosen((flags["protocol"],))[0] if flags["protocol"] else None,
        flags["faults"],
        patient,
        Limits(flags["states"], flags["depth"] or 0),
        seconds_of(flags["time_limit"]),
        flags["choices"],
        flags["draw"],
        flags["save"],
        flags["as_json"],
        flags["quiet"],
        again,
    )


class Progress:
    """A line now and then on standard error; says when the time is up."""

    def __init__(self, limit: float | None, quiet: bool) -> None:
        self.began = self.told = time.monotonic()
        self.until = math.inf if limit is None else self.began + limit
        self.quiet = quiet

    def __call__(self, search: Search) -> bool:
        """Shall it go on?"""
        now = time.monotonic()
        if not self.quiet and now - self.told >= EVERY_SECONDS:
            self.told = now
            rate = search.looked / (now - self.began)
            waiting = search.distinct - search.looked
            states = f"{search.distinct:,} states, {waiting:,} of them to be looked at"
            text = f"{states}, depth {search.depth}, {rate:,.0f} states/s"
            print(f"explore: {text}", file=sys.stderr, flush=True)
        return now < self.until


def explore(scenario: Scenario, settings: Settings) -> int:
    """Every state within the limits, or with choices the one run that they are."""
    if settings.protocol:
        scenario = adjusted(scenario, settings.protocol).scenario
    model = Model(scenario, settings.faults, settings.patient)
    if settings.choices is not None:
        return replay(model, settings.choices)
    limits = settings.limits
    if settings.draw:  # no more can be drawn: say so as soon as there are more
        limits = Limits(min(limits.states, STATES_MAX), limits.depth)
    search = Search(model.system, limits)
    progress = Progress(settings.limit, settings.quiet)
    try:
        search.run(progress)
    except KeyboardInterrupt:
        search.cut = "stopped"
    seconds = time.monotonic() - progress.began
    properties = answers(model, search)
    verdict = verdict_of(properties, search)
    if settings.draw:
        drawn(search, settings.draw, f"{scenario.scenario.name}, {scenario.protocol.name}")
    if settings.save:
        saved(model, properties, settings)
    with to_reader():
        if settings.as_json:
            found = document(model, search, properties, seconds)
            print(json.dumps(found, indent=2), flush=True)
        elif not settings.quiet:
            words = shlex.join(["gmemsim", "explore", *settings.words])
            print("\n".join(show.page(model, search, properties, verdict, words)))
    return STATUS[verdict]


def replay(model: Model, text: str) -> int:
    """Show one run; it is as valid as the choices are."""
    model.system.faults = -1
    try:
        choices = [int(part) for part in text.split(",") if part.strip()]
    except ValueError:
        raise UsageError(
            f'--choices: found "{text[:60]}", expected numbers such as 1,1,3,2'
        ) from None
    try:
        steps = steps_of(model.system, choices)
    except ChoiceError as error:
        raise UsageError(f"--choices: {error}") from None
    with to_reader():
        print("\n".join(told(model.system, steps)))
    return STATUS["valid"]


def drawn(search: Search, path: str, title: str) -> None:
    """Write the picture."""
    written("--draw", path, picture(search, title))


def saved(model: Model, properties: list[Property], settings: Settings) -> None:
    """The scenario under the command that shows its shortest counterexample; nothing without one."""
    assert settings.save
    found = show.worst(properties)
    if found is None:
        return
    words = [
        "gmemsim",
        "explore",
        settings.save,
        *([] if settings.patient else ["--timeouts", "any"]),
    ]
    choices = show.choices(trace_of(model.system, found.way)) if found.way else ""
    head = f"# {found.name}, {found.title}:\n# {shlex.join(words)} --choices {choices}\n"
    written("--save", settings.save, head + to_toml(model.scenario))


def written(flag: str, path: str, text: str) -> None:
    """UsageError where that cannot be."""
    try:
        Path(path).write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{flag}: {path}: {error.strerror}") from None


def document(
    model: Model, search: Search, properties: list[Property], seconds: float
) -> dict[str, Any]:
    """What --json prints."""
    scenario = model.scenario
    return {
        "verdict": verdict_of(properties, search),
        "scenario": scenario.scenario.name,
        "protocol": scenario.protocol.name,
        "distinct": search.distinct,
        "generated": search.generated,
        "depth": search.depth,
        "whole": search.whole,
        "cut": search.cut,
        "faults": model.system.faults,
        "properties": [
            plain(each, trace_of(model.system, each.way) if each.way else None)
            for each in properties
        ],
        "engine": {
            "wall_seconds": seconds,
            "states_per_second": search.looked / max(seconds, 1e-9),
        },
        "versions": {"gmemsim": __version__},
    }
