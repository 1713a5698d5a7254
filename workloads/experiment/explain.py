"""What `gmemsim show` tells of an experiment."""

import os.path
import textwrap
from collections.abc import Iterator
from typing import Any

import msgspec

from workloads.experiment.points import axes_of, candidates, combinations
from workloads.experiment.records import Experiment
from workloads.scenario.source import EXPERIMENTS, parse_toml, read_source, shipped
from workloads.scenario.values import toml


def is_experiment(source: str) -> bool:
    """Does the file say that it is one? What cannot be read, is told where it is read."""
    if source in shipped() or not os.path.isfile(source):
        return False
    try:
        return "experiment" in parse_toml(read_source(source, EXPERIMENTS)[0])
    except ValueError:
        return False


def explain(experiment: Experiment) -> dict[str, Any]:
    """As plain data."""
    about, search = experiment.about, experiment.search
    combined = len(list(combinations(experiment.axes)))
    return {
        "name": about.name,
        "question": " ".join(about.question.split()),
        "prediction": " ".join(about.prediction.split()),
        "scenario": about.scenario,
        "given": [one.text for one in experiment.given.values()],
        "seeds": about.seeds,
        "combinations": combined,
        "axes": axes_of(experiment),
        "search": search
        and {
            "key": search.key,
            "values": len(candidates(search)),
            "low": search.low,
            "high": search.high,
            "objective": experiment.objective,
            "relieve": msgspec.to_builtins(experiment.relief),
        },
        "measures": [msgspec.to_builtins(measure) for measure in experiment.measures],
        "conclusion": {**msgspec.to_builtins(experiment.conclusion), "options": experiment.options},
        "checks": experiment.checks,
    }


def in_words(found: dict[str, Any], width: int) -> str:
    """For people."""
    return "\n".join(
        textwrap.fill(text, width, initial_indent=indent, subsequent_indent=indent)
        for indent, text in lines(found)
    )


def lines(found: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """(indent, text) of each."""
    yield "", f"{found['name']}: {found['question']}"
    yield "", f"prediction: {found['prediction']}"
    yield "", f"scenario: {found['scenario'] or 'every default'}, with"
    for text in found["given"]:
        yield "    ", text
    for axis in found["axes"]:
        unit = f" ({axis['unit']})" if axis["unit"] else ""
        yield "", f"axis {axis['name']}{unit}: {', '.join(map(str, axis['values']))}"
    search = found["search"]
    if search:
        limits = " and ".join(f"{name} {limit}" for name, limit in search["objective"].items())
        yield (
            "",
            f"search for the largest {search['key']} from {search['low']:g} to {search['high']:g} with {limits}",
        )
        for resource, how in search["relieve"].items():
            yield "    ", f"{resource} is relieved by {relieving(how)}"
    kinds = "searches" if search else "points"
    yield "", f"{found['combinations']} {kinds}, {found['seeds']} seeds each"
    for measure in found["measures"]:
        per = f" per {measure['per']}" if measure["per"] else ""
        meaning = f": {measure['meaning']}" if measure["meaning"] else ""
        yield "", f"measure {measure['name']} = {measure['path']}{per}{meaning}"
    yield (
        "",
        f"conclusion ({found['conclusion']['analysis']}): {found['conclusion']['text'].strip()}",
    )
    for name, limit in found["checks"].items():
        yield "", f"check {name} {limit}"


def relieving(how: dict[str, Any]) -> str:
    """What gives more of a resource."""
    if how["sets"]:
        return " and ".join(f"{key} = {toml(value)}" for key, value in how["sets"])
    return f"half of {', '.join(how['costs'])}"
