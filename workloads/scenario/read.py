"""From a TOML document to a Scenario, or to the one line that says why not."""

from collections.abc import Collection, Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar

from workloads import checks
from workloads.errors import UsageError
from workloads.scenario.keys import COST, TEXT, Entry, Key, Section, entries
from workloads.scenario.kinds import DEFAULT_KIND, KINDS, AnyWorkload, Workload, kind_of
from workloads.scenario.rules import breaches
from workloads.scenario.sections import Fault
from workloads.scenario.struct import SECTIONS, Scenario
from workloads.scenario.values import literal, read
from workloads.wording import found, nearest, printable, quote, suggestion

Path = tuple[str, ...]
Table = Mapping[str, object]
S = TypeVar("S", bound=Section)

SET = "--set"
TABLES_MAX = 100_000  # of one array
FREE_TABLES: tuple[Path, ...] = (("checks",), ("costs", "override"))


class Origin(NamedTuple):
    """Where a document comes from, so that an error can name it."""

    where: str
    overridden: Mapping[Path, str] = MappingProxyType({})

    def wrong(self, path: Path, text: str) -> UsageError:
        """The error for what stands at `path`; a flag of its own says as much as its key."""
        flag = self.overridden.get(path, SET)
        where = flag if flag != SET else f"{self.place(path)}: {dotted(path)}"
        return UsageError(f"{where}: {text}")

    def place(self, path: Path) -> str:
        """The document, or the flag that set this path, a table around it or a key within."""
        flags = (f for own, f in self.overridden.items() if path[: len(own)] == own[: len(path)])
        return next(flags, self.where)


def dotted(path: Path) -> str:
    """A key's path for people: on one line, and no longer than they can read."""
    return printable(".".join(part if len(part) <= 60 else part[:57] + "..." for part in path[:6]))


def build(document: Table, origin: Origin, fault_points: Collection[str] | None) -> Scenario:
    """The scenario that a parsed document describes; UsageError names the first mistake."""
    scenario = unruled(document, origin, fault_points)
    for path, text in breaches(scenario):
        raise origin.wrong(tuple(path.split(".")), text)
    return scenario


def unruled(document: Table, origin: Origin, fault_points: Collection[str] | None) -> Scenario:
    """The same, every key of it judged by itself, and no rule between keys (workloads.scenario.rules) asked."""
    for name in document:
        if name not in SECTIONS and name not in ("workload", "fault", "checks"):
            raise origin.wrong((name,), unknown((name,)))
    sections: dict[str, Any] = {
        name: section(kind, document.get(name, {}), (name,), origin)
        for name, kind in SECTIONS.items()
    }
    return Scenario(
        **sections,
        workload=tuple(_workloads(document.get("workload", []), origin)),
        fault=tuple(_faults(document.get("fault", []), origin, fault_points)),
        checks=_checks(document.get("checks", {}), origin),
    )


def unknown(path: Path) -> str:
    """What to say of a key that no section has."""
    known, section = list(known_keys()), dotted(path[:-1])
    namesakes = [key for key in known if key.rpartition(".")[2] == path[-1]]
    siblings = [key.rpartition(".")[2] for key in known if key.rpartition(".")[0] == section]
    sibling = nearest(path[-1], siblings)
    if namesakes or sibling:
        close = namesakes[0] if namesakes else dotted((*path[:-1], sibling))
        close = f"{close}.name" if f"{close}.name" in known else close  # of a section
    else:
        # Within a section its own keys say more than a vague likeness elsewhere.
        close = "" if section and siblings else nearest(dotted(path), known)
    allowed = ", ".join(siblings or (key for key in known if "." not in key))
    return f"unknown key; {f'nearest: {close}' if close else f'allowed: {allowed}'}"


def known_keys() -> Iterator[str]:
    """Every key outside the arrays and free tables, sections included."""
    for name, kind in SECTIONS.items():
        yield name
        yield from (f"{name}.{key}" for key in entries(kind))
    yield from ("workload", "fault", "checks")


def table_of(raw: object, path: Path, origin: Origin) -> Table:
    """What stands at `path`, if it is a table."""
    if not isinstance(raw, dict):
        raise origin.wrong(path, f"found {found(raw)}, expected a table")
    return raw


def tables(raw: object, path: Path, origin: Origin) -> Iterator[tuple[Path, Table]]:
    """Each table of an array, with its path."""
    if not isinstance(raw, list):
        raise origin.wrong(path, f"found {found(raw)}, expected an array: [[{dotted(path)}]]")
    if len(raw) > TABLES_MAX:
        raise origin.wrong(path, f"found {len(raw)} tables, expected at most {TABLES_MAX}")
    for index, item in enumerate(raw):
        here = (*path, str(index))
        yield here, table_of(item, here, origin)


def section(kind: type[S], raw: object, path: Path, origin: Origin) -> S:
    """The record that a table describes, every key of it judged."""
    known, values = entries(kind), dict[str, Any]()
    for name, value in table_of(raw, path, origin).items():
        here = (*path, name)
        if name not in known:
            raise origin.wrong(here, unknown(here) if path[0] in SECTIONS else _foreign(kind, name))
        values[known[name].field] = _value(known[name].key, value, here, origin)
    for name, entry in known.items():
        if entry.key.at_most:
            _keep_below(name, entry, known[entry.key.at_most], values, path, origin)
    return kind(**values)


def _foreign(kind: type[Section], name: str) -> str:
    owner = f' for kind "{kind_of(kind)}"' if issubclass(kind, Workload) else ""
    return f"unknown key{owner}; {suggestion(name, entries(kind))}"


def _value(key: Key, value: object, path: Path, origin: Origin) -> Any:
    if key.kind == "costs":
        # One by one, so that an error names the entry.
        return {
            _value(TEXT, name, path, origin): _value(COST, cost, (*path, name), origin)
            for name, cost in table_of(value, path, origin).items()
        }
    try:
        return read(key, value)
    except ValueError as error:
        raise origin.wrong(path, str(error)) from None


def _keep_below(
    name: str, entry: Entry, bound: Entry, values: dict[str, Any], path: Path, origin: Origin
) -> None:
    """A default gives way to the key that bounds it; what was asked for does not."""
    limit = values.get(bound.field, bound.default)
    if entry.field not in values:
        values[entry.field] = min(entry.default, limit)
    elif values[entry.field] > limit:
        value = literal(entry.key, values[entry.field])
        above = f"{dotted(path)}.{entry.key.at_most} ({literal(bound.key, limit)})"
        raise origin.wrong((*path, name), f"found {value}, expected at most {above}")


def _workloads(raw: object, origin: Origin) -> Iterator[AnyWorkload]:
    for path, table in tables([{}] if raw == [] else raw, ("workload",), origin):
        kind = table.get("kind", DEFAULT_KIND)
        if not isinstance(kind, str) or kind not in KINDS:
            hint = suggestion(kind if isinstance(kind, str) else "", KINDS, "workloads")
            text = f"found {found(kind)}, expected a kind of workload; {hint}"
            raise origin.wrong((*path, "kind"), text)
        rest = {key: value for key, value in table.items() if key != "kind"}
        yield section(KINDS[kind], rest, path, origin)


def _faults(raw: object, origin: Origin, points: Collection[str] | None) -> Iterator[Fault]:
    for path, table in tables(raw, ("fault",), origin):
        fault = section(Fault, table, path, origin)
        for key, point in (("point", fault.point), *(("also", name) for name in fault.also)):
            if not point or (points is not None and point not in points):
                hint = f"; {suggestion(point, sorted(points), 'faults')}" if points else ""
                given = f"found {quote(point)}" if point or key == "also" else "not given"
                raise origin.wrong((*path, key), f"{given}, expected a fault point{hint}")
        yield fault


def _checks(raw: object, origin: Origin) -> dict[str, str]:
    limits = dict[str, str]()
    for name, limit in table_of(raw, ("checks",), origin).items():
        if not isinstance(limit, str):
            text = f"found {found(limit)}, expected {checks.EXAMPLE}"
            raise origin.wrong(("checks", name), text)
        try:
            checks.parse(name, limit)
        except UsageError as error:
            raise UsageError(f"{origin.place(('checks', name))}: {error}") from None
        limits[name] = limit
    return limits
