"""From a TOML document to an Experiment, or to the one line that says why not."""

import re
import string
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from workloads import checks
from workloads.errors import UsageError
from workloads.experiment import paths
from workloads.experiment.analyses import ANALYSES
from workloads.experiment.clashes import clashes, keys_of
from workloads.experiment.measures import multiple
from workloads.experiment.records import (
    About,
    Axis,
    Choice,
    Conclusion,
    Experiment,
    Measure,
    Plot,
    Relief,
    Search,
    Table,
)
from workloads.experiment.relief import RESOURCES
from workloads.experiment.tables import refused
from workloads.scenario.overrides import Given
from workloads.scenario.read import Origin, section, table_of, tables
from workloads.scenario.source import EXPERIMENTS, parse_toml, read_source, shipped
from workloads.scenario.values import NAME_LENGTH, is_name, toml
from workloads.wording import found, printable, quote, suggestion

SECTIONS = (
    "experiment",
    "base",
    "axis",
    "point",
    "search",
    "measure",
    "plot",
    "table",
    "conclusion",
    "checks",
)
AXIS_KEYS = ("name", "unit", "key", "values")
SEARCH_KEYS = (*Search.__struct_fields__, "relieve")
POINT = "point"  # the axis that [[point]] makes
SEVERAL = re.compile(r"\s+and\s+")


def load(source: str, overrides: tuple[str, ...] = ()) -> Experiment:
    """The experiment in a file, or the shipped one of that name; `--set` texts change its scenario."""
    text, where = read_source(source, EXPERIMENTS)
    return decode(text, where, overrides)


def decode(text: str, where: str, overrides: tuple[str, ...] = ()) -> Experiment:
    """The experiment in a text that came from `where`; any mistake is a UsageError of one line."""
    place = printable(where)
    try:
        document = parse_toml(text)
    except ValueError as error:
        raise UsageError(f"{place}: not TOML: {error}") from None
    origin = Origin(place)
    for name in document:
        if name not in SECTIONS:
            raise origin.wrong((name,), f"unknown key; {suggestion(name, SECTIONS)}")
    about = section(About, document.get("experiment", {}), ("experiment",), origin)
    if not about.name:
        about = section(
            About, document.get("experiment", {}) | {"name": stem(where)}, ("experiment",), origin
        )
    axes = tuple(axes_of(document, origin))
    search = None
    relief: dict[str, Relief] = {}
    if "search" in document:
        table = dict(table_of(document["search"], ("search",), origin))
        for name in table:
            if name not in SEARCH_KEYS:
                hint = suggestion(name, SEARCH_KEYS)
                raise origin.wrong(("search", name), f"unknown key; {hint}")
        relief = relief_of(table.pop("relieve", {}), origin)
        search = section(Search, table, ("search",), origin)
    conclusion = dict(table_of(document.get("conclusion", {}), ("conclusion",), origin))
    options = dict(table_of(conclusion.pop("options", {}), ("conclusion", "options"), origin))
    experiment = Experiment(
        where=where,
        text=text,
        about=about,
        base=base_of(about, where),
        given=given_of(document, origin, overrides),
        axes=axes,
        search=search,
        objective=objective_of(search, origin) if search else {},
        relief=relief,
        measures=tuple(
            section(Measure, one, path, origin)
            for path, one in tables(document.get("measure", []), ("measure",), origin)
        ),
        plots=tuple(
            section(Plot, one, path, origin)
            for path, one in tables(document.get("plot", []), ("plot",), origin)
        ),
        tables=tuple(
            section(Table, one, path, origin)
            for path, one in tables(document.get("table", []), ("table",), origin)
        ),
        conclusion=section(Conclusion, conclusion, ("conclusion",), origin),
        options=options,
        checks=limits_of(document.get("checks", {}), origin),
    )
    for path, wrong in breaches(experiment):
        raise origin.wrong(path, wrong)
    refuse_hidden(experiment, overrides)
    return experiment


def stem(where: str) -> str:
    """The file's, as far as it can name a folder."""
    name = "".join(c if is_name(c) or c in " ." else "_" for c in Path(where).stem)
    return name[:NAME_LENGTH].strip(". ") or "experiment"


def base_of(about: About, where: str) -> dict[str, Any]:
    """The document of the scenario that it starts from; judged once a point is made of it."""
    if not about.scenario:
        return {}
    beside = Path(where).parent / about.scenario
    named = about.scenario in shipped() or not beside.is_file()
    text, source = read_source(about.scenario if named else str(beside))
    try:
        return parse_toml(text)
    except ValueError as error:
        raise UsageError(f"{printable(source)}: not TOML: {error}") from None


def given_of(
    document: Mapping[str, Any], origin: Origin, overrides: tuple[str, ...]
) -> dict[str, Given]:
    """Key of the scenario -> what [base] says of it, or `--set`."""
    own = table_of(document.get("base", {}), ("base",), origin)
    given = {
        key: Given(f"{key}={toml(value)}", f"{origin.where}: base.{key}")
        for key, value in own.items()
    }
    return given | {text.partition("=")[0].strip(): Given(text) for text in overrides}


def axes_of(document: Mapping[str, Any], origin: Origin) -> Iterator[Axis]:
    """[[axis]] and [[point]]."""
    for path, table in tables(document.get("axis", []), ("axis",), origin):
        yield axis_of(dict(table), path, origin)
    points = [
        choice_of(one, path, origin)
        for path, one in tables(document.get("point", []), ("point",), origin)
    ]
    if points:
        yield Axis(POINT, "", unlike(points, ("point",), origin))


def axis_of(table: dict[str, Any], path: tuple[str, ...], origin: Origin) -> Axis:
    """Values of a key or of several keys, or tables {label, set}."""
    for name in table:
        if name not in AXIS_KEYS:
            raise origin.wrong((*path, name), f"unknown key; {suggestion(name, AXIS_KEYS)}")
    raw_keys = table.get("key", [])
    keys = [raw_keys] if isinstance(raw_keys, str) else raw_keys
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise origin.wrong(
            (*path, "key"),
            f"found {found(raw_keys)}, expected a key of the scenario, or a list of them",
        )
    values = table.get("values", [])
    if not isinstance(values, list) or not values:
        shown = "an empty list" if values == [] else found(values)
        raise origin.wrong((*path, "values"), f"found {shown}, expected a list of values")
    choices = []
    for index, value in enumerate(values):
        here = (*path, "values", str(index))
        if isinstance(value, dict):
            choices.append(choice_of(value, here, origin))
        elif not keys:
            raise origin.wrong(
                (*path, "key"), "not given, expected the key that the values are for"
            )
        elif isinstance(value, str | int | float):
            choices.append(Choice(value, tuple((key, value) for key in keys)))
        else:
            raise origin.wrong(
                here, f"found {found(value)}, expected text, a number or {{label, set}}"
            )
    name = table.get("name") or (keys[0] if keys else "")
    unit = table.get("unit", "")
    for key, text in (("name", name), ("unit", unit)):
        if not isinstance(text, str) or (key == "name" and not text):
            raise origin.wrong((*path, key), f"found {found(text)}, expected a text")
    return Axis(name, unit, unlike(choices, (*path, "values"), origin))


def choice_of(table: Mapping[str, Any], path: tuple[str, ...], origin: Origin) -> Choice:
    """{label, set}: a name, and the scenario's keys that it stands for."""
    for name in table:
        if name not in ("label", "set"):
            raise origin.wrong((*path, name), f"unknown key; {suggestion(name, ('label', 'set'))}")
    label = table.get("label", "")
    if label == "" or not isinstance(label, str | int | float):
        raise origin.wrong((*path, "label"), f"found {found(label)}, expected a text or a number")
    sets = table_of(table.get("set", {}), (*path, "set"), origin)
    return Choice(label, tuple(sets.items()))


def unlike(choices: list[Choice], path: tuple[str, ...], origin: Origin) -> tuple[Choice, ...]:
    """No two of one name: their rows could not be told apart."""
    labels = [choice.label for choice in choices]
    twice = next((label for label in labels if labels.count(label) > 1), None)
    if twice is not None:
        raise origin.wrong(path, f"found {found(twice)} twice, expected each value once")
    return tuple(choices)


def objective_of(search: Search, origin: Origin) -> dict[str, str]:
    """Name of [checks] -> limit; a duration's may be a multiple ("< 1.5x")."""
    path, limits = ("search", "objective"), dict[str, str]()
    for text in SEVERAL.split(search.objective.strip()):
        name, _, limit = text.partition(" ")
        factor = multiple(limit.strip())[1]
        timed = name in checks.METRICS and checks.METRICS[name].unit == "duration"
        try:
            checks.parse(name, "< 1s" if factor and timed else limit)
        except UsageError as error:
            raise origin.wrong(path, str(error).removeprefix("checks.")) from None
        limits[name] = limit.strip()
    return limits


def relief_of(raw: object, origin: Origin) -> dict[str, Relief]:
    """Resource -> what gives more of it: a list of costs, or a table of the scenario's keys."""
    path, relief = ("search", "relieve"), dict[str, Relief]()
    for name, how in table_of(raw, path, origin).items():
        if name not in RESOURCES:
            raise origin.wrong((*path, name), f"unknown resource; {suggestion(name, RESOURCES)}")
        if isinstance(how, dict) and how:
            relief[name] = Relief(sets=tuple(how.items()))
        elif isinstance(how, list) and all(isinstance(cost, str) for cost in how):
            relief[name] = Relief(costs=tuple(how))
        else:
            text = (
                f"found {found(how)}, expected a list of costs, or a table of the scenario's keys"
            )
            raise origin.wrong((*path, name), text)
    return relief


def limits_of(raw: object, origin: Origin) -> dict[str, str]:
    """[checks]: figure of the conclusion -> limit. What its unit can be is known once there is a figure."""
    limits = dict[str, str]()
    for name, limit in table_of(raw, ("checks",), origin).items():
        if not isinstance(limit, str) or not re.fullmatch(r"\s*(<=|>=|==|!=|<|>)\s*\S.*", limit):
            raise origin.wrong(("checks", name), f"found {found(limit)}, expected {checks.EXAMPLE}")
        limits[name] = limit.strip()
    return limits


def breaches(experiment: Experiment) -> Iterator[tuple[tuple[str, ...], str]]:
    """What the single keys cannot say of each other."""
    for name in ("question", "prediction"):
        if not getattr(experiment.about, name).strip():
            yield ("experiment", name), "not given, expected a text"
    search = experiment.search
    if not experiment.axes and not search:
        yield ("axis",), "not given, expected [[axis]], [[point]] or [search]"
    if search:
        yield from _of_search(search)
    axes, columns = names_of(experiment)
    for where, several in (("axis", axes), ("measure", columns)):
        twice = next((name for name in several if several.count(name) > 1), "")
        if twice:
            yield (where,), f"found {quote(twice)} twice, expected each name once"
    yield from clashes(experiment)
    for index, measure in enumerate(experiment.measures):
        for key in ("name", "path"):
            if not getattr(measure, key):
                yield ("measure", str(index), key), "not given, expected a text"
        for key in ("path", "per"):
            path = getattr(measure, key)
            told = paths.wrong(path) if path else ""
            if told:
                yield ("measure", str(index), key), told
    for index, plot in enumerate(experiment.plots):
        for key, known in (("x", axes), ("y", columns)):
            if getattr(plot, key) not in known:
                text = f"found {quote(getattr(plot, key))}; {suggestion(getattr(plot, key), known)}"
                yield ("plot", str(index), key), text
    yield from refused(experiment)
    yield from _of_conclusion(experiment)


def names_of(experiment: Experiment) -> tuple[list[str], list[str]]:
    """Of the axes, what is searched among them, and of the measures."""
    search = experiment.search
    searched = [search.title] if search else []
    return [axis.name for axis in experiment.axes] + searched, [m.name for m in experiment.measures]


def _of_search(search: Search) -> Iterator[tuple[tuple[str, ...], str]]:
    if not search.key:
        yield ("search", "key"), "not given, expected a key of the scenario"
    if search.high < search.low:
        yield ("search", "high"), f"found {search.high:g}, expected at least low, {search.low:g}"
    if search.ratio > 1 and not search.low:
        yield ("search", "low"), "found 0, expected more than that where ratio leads on from it"


def _of_conclusion(experiment: Experiment) -> Iterator[tuple[tuple[str, ...], str]]:
    name = experiment.conclusion.analysis
    if name not in ANALYSES:
        text = (
            f"found {quote(name)}, expected an analysis; {suggestion(name, ANALYSES, 'analyses')}"
        )
        yield ("conclusion", "analysis"), text
        return
    for option in experiment.options:
        if option not in ANALYSES[name].options:
            hint = suggestion(option, tuple(ANALYSES[name].options))
            yield ("conclusion", "options", option), f"unknown option of {name}; {hint}"
    paired = experiment.conclusion.paired
    axes = [axis.name for axis in experiment.axes]
    if paired and experiment.search:
        text = f"found {quote(paired)} beside [search], whose points differ; expected none"
        yield ("conclusion", "paired"), text
    elif paired and paired not in axes:
        text = f"found {quote(paired)}, expected an axis; {suggestion(paired, axes)}"
        yield ("conclusion", "paired"), text
    try:
        list(string.Formatter().parse(experiment.conclusion.text))
    except ValueError as error:
        yield ("conclusion", "text"), f"{error}; expected figures in braces, such as {{answer}}"


def refuse_hidden(experiment: Experiment, overrides: tuple[str, ...]) -> None:
    """What an axis or the search sets anyway would do nothing as `--set`."""
    keys = {key for axis in experiment.axes for key in keys_of(axis)}
    if experiment.search:
        keys.add(experiment.search.key)
    for text in overrides:
        name = text.partition("=")[0].strip()
        if name in keys:
            raise UsageError(f"--set {name}: the experiment varies it; expected another key")
