"""What `gmemsim list` and `gmemsim show` print: everything that can be named, from the tables that define it."""

import json
import textwrap
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from actors.contract import ERRNO
from actors.protocols import PROTOCOLS
from cluster.fault_points import FAULT_POINTS, WORDS
from workloads import cost_table
from workloads import experiment as experiments
from workloads import scenario as scenarios
from workloads.checkers import ANOMALIES, INVARIANTS
from workloads.checkers.admitted import described
from workloads.checks import METRICS
from workloads.errors import UsageError
from workloads.experiment.analyses import ANALYSES
from workloads.scenario import KINDS
from workloads.scenario.source import EXPERIMENTS, shipped
from workloads.trace import spool as trace_spool
from workloads.wording import quote, suggestion

Rows = list[dict[str, Any]]
WIDEST = 80
INDENT = " " * 4
CHECKS = ("anomalies", "invariants")
PROSE = ("meaning", "question")  # a table has one of these at most, as its last column
# What a list's rows alone do not tell.
NOTES = {
    "faults": """

  A rule, such as

    --set 'fault=[{point="tdx.interrupted", nth=3, hosts=0, vms=7}]'

  strikes the third opportunity of VM 7 on host 0. Without hosts it is that of
  VM 7 on every host, without vms that of every VM on host 0."""
}


def scenario_rows() -> Rows:
    """Shipped scenarios."""
    found = [(name, scenarios.load(name)) for name in scenarios.shipped()]
    return [{"name": name, "meaning": one.scenario.description} for name, one in found]


def experiment_rows() -> Rows:
    """Shipped experiments."""
    found = [(name, experiments.load(name)) for name in shipped(EXPERIMENTS)]
    return [{"name": name, "question": first_sentence(one.about.question)} for name, one in found]


def analysis_rows() -> Rows:
    """What can be made of an experiment's points."""
    return [
        {
            "name": name,
            "options": ", ".join(f"{key}: {text}" for key, text in one.options.items()),
            "meaning": one.meaning,
        }
        for name, one in ANALYSES.items()
    ]


def trace_rows() -> Rows:
    """Shipped QEMU trace logs."""
    logs = [(name, trace_spool.read_log(name)) for name in trace_spool.shipped()]
    return [
        {"name": name, "conversions": log.conversions, "vcpus": log.vcpus, "slots": len(log.slots)}
        for name, log in logs
    ]


def workload_rows() -> Rows:
    """Kinds of [[workload]]."""
    return [{"name": name, "meaning": _first_line(kind)} for name, kind in KINDS.items()]


def protocol_rows() -> Rows:
    """Conversion protocols."""
    return [{"name": name, "meaning": table.meaning} for name, table in PROTOCOLS.items()]


def fault_rows() -> Rows:
    """Fault points; `met` are the classes that a kernel can meet there."""
    return [
        {
            "name": point.name,
            "reason": WORDS.get(point.reason, "-"),  # nobody refuses, where a VMM is killed
            "errno": ERRNO[point.reason],
            "phase": ", ".join(point.phases),
            "met": ", ".join(WORDS[reason] for reason in point.classes),
            "registry": ", ".join(point.registry),
            "meaning": point.meaning,
        }
        for point in FAULT_POINTS.values()
    ]


def check_rows(checks: Sequence[Any]) -> Rows:
    """Anomalies or invariants."""
    return [
        {
            "name": check.id,
            "title": check.name,
            "meaning": check.meaning,
            "source": check.source,
            "admitted by": described(check.id),
        }
        for check in checks
    ]


def cost_rows() -> Rows:
    """Durations of every shipped cost model."""
    return [
        {
            "name": name,
            "value": entry["value"],
            "per": entry["per"],
            "source": entry["source"],
            "assumed": "-".join(entry.get("range", [])),
            "meaning": entry["meaning"],
        }
        for model in cost_table.models()
        for name, entry in cost_table.read(model)["cost"].items()
    ]


def metric_rows() -> Rows:
    """What [checks] can limit."""
    return [{"name": name} for name in METRICS]


LISTS: dict[str, Callable[[], Rows]] = {
    "scenarios": scenario_rows,
    "experiments": experiment_rows,
    "traces": trace_rows,
    "workloads": workload_rows,
    "protocols": protocol_rows,
    "faults": fault_rows,
    "anomalies": lambda: check_rows(ANOMALIES),
    "invariants": lambda: check_rows(INVARIANTS),
    "costs": cost_rows,
    "checks": metric_rows,
    "analyses": analysis_rows,
}


def show_kind(kind: str | None, as_json: bool) -> str:
    """One list, or all of them."""
    if kind is not None and kind not in LISTS:
        raise UsageError(f"list: nothing is called {quote(kind)}; {suggestion(kind, LISTS)}")
    kinds = [kind] if kind else list(LISTS)
    found = {name: LISTS[name]() for name in kinds}
    if as_json:
        return json.dumps(found, indent=2)
    texts = {name: (paragraphs if name in CHECKS else table)(rows) for name, rows in found.items()}
    return "\n\n".join(f"{name}\n{text}{NOTES.get(name, '')}" for name, text in texts.items())


def paragraphs(rows: Rows) -> str:
    """Rows of which one column is too long for a table: a block for each."""
    return "\n".join(
        filled(text, indent)
        for row in rows
        for indent, text in (
            ("  ", f"{row['name']}  {row['title']}"),
            ("      ", row["meaning"]),
            ("      ", f"source: {row['source']}"),
            ("      ", f"admitted by: {row['admitted by']}"),
        )
    )


def show(source: str, overrides: Sequence[str], as_json: bool) -> str:
    """A scenario, or an experiment, by its name or by what its file holds."""
    if source in shipped(EXPERIMENTS) or experiments.is_experiment(source):
        return show_experiment(source, tuple(overrides), as_json)
    return show_scenario(source, overrides, as_json)


def show_experiment(source: str, overrides: tuple[str, ...], as_json: bool) -> str:
    """What is asked, what is run, what is made of it."""
    found = experiments.explain(experiments.load(source, overrides))
    return json.dumps(found, indent=2) if as_json else experiments.in_words(found, WIDEST)


def filled(text: str, indent: str, further: str | None = None) -> str:
    """Lines that a terminal of the usual width has room for; those after the first can be indented otherwise."""
    return textwrap.fill(
        text,
        WIDEST,
        initial_indent=indent,
        subsequent_indent=indent if further is None else further,
        break_on_hyphens=False,
    )


def table(rows: Rows) -> str:
    """Columns, with the prose as the last one; where the others leave no room for it, below them by name."""
    prose = next((key for key in PROSE if rows and key in rows[0]), "")
    if not prose:
        return columns(rows)
    others = [{key: text for key, text in row.items() if key != prose} for row in rows]
    lines = columns(others).splitlines()
    width = max(map(len, lines))
    if width <= WIDEST // 2:
        texts = [prose, *(row[prose] for row in rows)]
        return "\n".join(
            filled(f"{line.ljust(width)}  {text}", "", " " * (width + 2))
            for line, text in zip(lines, texts, strict=True)
        )
    return "\n".join(
        f"  {row['name']}\n{filled(row[prose], '      ')}\n{filled(_named(other), '      ')}"
        for row, other in zip(rows, others, strict=True)
    )


def _named(row: dict[str, Any]) -> str:
    return "; ".join(f"{key} {text}" for key, text in row.items() if key != "name" and text)


def show_scenario(source: str, overrides: Sequence[str], as_json: bool) -> str:
    """Every key with value, default, unit and meaning."""
    rows = scenarios.explain(scenarios.load(source, overrides, FAULT_POINTS))
    keys = [msgspec.to_builtins(row._asdict()) for row in rows]
    return json.dumps(keys, indent=2) if as_json else "\n".join(map(key_text, keys))


def key_text(row: dict[str, Any]) -> str:
    """A key with its value, and below it what it is; a table would be wider than any screen."""
    default = "" if row["value"] == row["default"] else f"    (default {row['default'] or 'none'})"
    unit = f"{row['unit']}: " if row["unit"] else ""
    return f"{row['key']} = {row['value']}{default}\n{filled(unit + row['meaning'], INDENT)}"


def columns(rows: Rows) -> str:
    """Rows as aligned text under their headings; a column with nothing in it is left out."""
    keys = [key for key in rows[0] if any(row[key] != "" for row in rows)] if rows else []
    cells = [keys, *([str(row[key]) for key in keys] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        for line in cells
    )
    return "\n".join(f"  {line.rstrip()}" for line in lines)


def first_sentence(text: str) -> str:
    """On one line."""
    return " ".join(text.split()).partition("? ")[0].removesuffix("?") + "?"


def _first_line(kind: type) -> str:
    return (kind.__doc__ or "").strip().splitlines()[0]
