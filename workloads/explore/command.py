"""`gmemsim explore`: go through all states, tell what they show; returns the exit status."""

import shlex
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from cluster.explore import ChoiceError, Limits, steps_of
from workloads.adjust import adjusted
from workloads.compare import chosen
from workloads.errors import UsageError
from workloads.explore import show
from workloads.explore.draw import STATES_MAX, picture
from workloads.explore.exploration import (
    REDUCTIONS,
    Exploration,
    LeaveOut,
    Progress,
    document,
    explored,
)
from workloads.explore.model import Model
from workloads.explore.properties import STATUS
from workloads.explore.trace import told as transcript
from workloads.explore.trace import trace_of
from workloads.reader import tell, to_reader
from workloads.scenario import Scenario
from workloads.scenario.write import to_toml
from workloads.session import seconds_of

ALL = "all"
WORSE = ("valid", "unknown", "violated")


class Settings(NamedTuple):
    """What was typed. `limit` is of wall seconds."""

    protocols: Sequence[str]
    faults: int
    patient: bool
    left_out: LeaveOut
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
        protocols_of(flags["protocol"]),
        flags["faults"],
        patient,
        REDUCTIONS[flags["reduction"]],
        Limits(flags["states"], flags["depth"] or 0),
        seconds_of(flags["time_limit"]),
        flags["choices"],
        flags["draw"],
        flags["save"],
        flags["as_json"],
        flags["quiet"],
        again,
    )


def protocols_of(text: str | None) -> list[str]:
    """Those that were asked for, in the order of their table; none: the scenario's."""
    if text is None:
        return []
    return chosen(() if text == ALL else (text,))


def explore(scenario: Scenario, settings: Settings) -> int:
    """Every state within the limits, under each protocol; or with choices the one run that they are."""
    names = settings.protocols or [scenario.protocol.name]
    if len(names) > 1:
        return several(scenario, names, settings)
    if settings.protocols:
        scenario = adjusted(scenario, names[0]).scenario
    model = Model(scenario, settings.faults, settings.patient)
    if settings.choices is not None:
        return replay(model, settings.choices)
    limits = settings.limits
    if settings.draw:  # no more can be drawn: say so as soon as there are more
        limits = Limits(min(limits.states, STATES_MAX), limits.depth)
    found = explored(model, limits, settings.left_out, Progress(settings.limit, settings.quiet))
    if settings.draw:
        title = f"{scenario.scenario.name}, {scenario.protocol.name}"
        written("--draw", settings.draw, picture(found.search, title))
    if settings.save and found.breach:
        saved(found, settings)
    words = shlex.join(["gmemsim", "explore", *settings.words])
    told(document(found), settings, lambda: show.page(found, words))
    return STATUS[found.verdict]


def several(scenario: Scenario, names: Sequence[str], settings: Settings) -> int:
    """The same under each of them, and one table."""
    for flag, given in (
        ("--choices", settings.choices),
        ("--draw", settings.draw),
        ("--save", settings.save),
    ):
        if given is not None:
            raise UsageError(f"{flag}: found {len(names)} protocols, expected one with it")
    progress = Progress(settings.limit, settings.quiet)
    found: list[Exploration] = []
    for name in names:
        if not found or found[-1].search.cut != "stopped":
            model = Model(adjusted(scenario, name).scenario, settings.faults, settings.patient)
            found.append(explored(model, settings.limits, settings.left_out, progress))
    verdict = max((each.verdict for each in found), key=WORSE.index)
    by_protocol = {each.protocol: document(each) for each in found}
    together = {"verdict": verdict, "protocols": by_protocol}
    told(together, settings, lambda: show.protocols(found, verdict))
    return STATUS[verdict]


def told(found: dict[str, Any], settings: Settings, lines: Callable[[], Iterable[str]]) -> None:
    """As JSON, or for people."""
    tell(found, settings.as_json, settings.quiet, lambda: print("\n".join(lines())))


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
        print("\n".join(transcript(model.system, steps)))
    return STATUS["valid"]


def saved(found: Exploration, settings: Settings) -> None:
    """The scenario under the command that shows its counterexample."""
    assert settings.save and found.breach
    words = [
        "gmemsim",
        "explore",
        settings.save,
        *([] if settings.patient else ["--timeouts", "any"]),
    ]
    breach, model = found.breach, found.model
    choices = show.choices(trace_of(model.system, breach.way)) if breach.way else ""
    head = f"# {breach.name}, {breach.title}:\n# {shlex.join(words)} --choices {choices}\n"
    written("--save", settings.save, head + to_toml(model.scenario))


def written(flag: str, path: str, text: str) -> None:
    """UsageError where that cannot be."""
    try:
        Path(path).write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{flag}: {path}: {error.strerror}") from None
