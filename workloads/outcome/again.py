"""The command that makes a run's every event again, wherever it is pasted."""

import shlex
from collections.abc import Iterator
from pathlib import Path

import msgspec

from workloads import scenario as scenarios
from workloads.errors import UsageError
from workloads.outcome.files import SCENARIO
from workloads.scenario import Metrics, Scenario
from workloads.scenario.write import UNSET

FLAGS = {
    "protocol.name": "--protocol",
    "scenario.seed": "--seed",
    "engine.executor": "--executor",
}
LISTS = ("workload", "fault")
CHANGES_MAX = 12  # keys; with more of them a command is no better than the file


def replay(scenario: Scenario, folder: Path) -> str:
    """Of a shipped scenario by name, with all that is otherwise; else of the run's own file, which has every key."""
    words = by_name(scenario) or [str((folder / SCENARIO).resolve())]
    return shlex.join(["gmemsim", "run", *words])


def by_name(scenario: Scenario) -> list[str]:
    """The words after `gmemsim run`, if it is a shipped scenario that a command can change to this one."""
    name, wanted = scenario.scenario.name, plain(scenario)
    if name not in scenarios.shipped():
        return []
    changed = dict(changes(plain(scenarios.load(name)), wanted))
    changed["protocol.name"] = f'"{wanted.protocol.name}"'
    changed["scenario.seed"] = str(wanted.scenario.seed)
    changed["engine.executor"] = f'"{wanted.engine.executor}"'
    texts = [f"{key}={value}" for key, value in changed.items()]
    if len(texts) > CHANGES_MAX or not same(name, texts, wanted):
        return []
    words = [name]
    for key, flag in FLAGS.items():
        words += [flag, changed.pop(key).strip('"')]
    return words + [word for key, value in changed.items() for word in ("--set", f"{key}={value}")]


def plain(scenario: Scenario) -> Scenario:
    """Without what serves its watchers alone."""
    engine = msgspec.structs.replace(scenario.engine, pace=0)
    return msgspec.structs.replace(scenario, metrics=Metrics(), engine=engine)


def changes(base: Scenario, wanted: Scenario) -> Iterator[tuple[str, str]]:
    """Keys that have another value, with it, as TOML. A list that is not the same is told as a whole."""
    before = values(base)
    lists = {name: inline(wanted, name) for name in LISTS}
    for key, value in values(wanted).items():
        if not key.startswith(tuple(f"{name}." for name in LISTS)) and before[key] != value:
            yield key, value
    for name, value in lists.items():
        if value != inline(base, name):
            yield name, value


def values(scenario: Scenario) -> dict[str, str]:
    """Key -> its value."""
    return {row.key: row.value for row in scenarios.explain(scenario)}


def inline(scenario: Scenario, name: str) -> str:
    """The workloads, or the faults, in one line: a table for each, without defaults."""
    tables: list[list[str]] = [[] for _ in getattr(scenario, name)]
    for row in scenarios.explain(scenario):
        of, number, key = [*row.key.split(".", 2), "", ""][:3]
        if of == name and row.value not in (row.default, UNSET):
            tables[int(number)].append(f"{key}={row.value}")
    inner = (f"{{{','.join(keys)}}}" for keys in tables)
    return f"[{','.join(inner)}]"


def same(name: str, texts: list[str], wanted: Scenario) -> bool:
    """Do these `--set` texts lead to it? What a command cannot take away or add, they do not."""
    try:
        return plain(scenarios.load(name, texts)) == wanted
    except UsageError:
        return False
