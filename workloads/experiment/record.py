"""A sweep as one plain record: points.json, and what `gmemsim sweep --json` prints."""

from collections.abc import Iterator
from typing import Any

import msgspec

from workloads.experiment import beginnings
from workloads.experiment.analyses.contract import Evidence
from workloads.experiment.conclude import conclude, judged
from workloads.experiment.drive import Drive
from workloads.experiment.points import axes_of, combinations
from workloads.experiment.pursuit import Found, Pursuits
from workloads.experiment.records import Experiment
from workloads.experiment.rows import Row, row_of
from workloads.outcome.figures import number, some
from workloads.outcome.seeds import as_json
from workloads.outcome.shape import SCHEMA
from workloads.outcome.summary import versions
from workloads.outcome.sweep_table import limit_of, limited
from workloads.outcome.verdict import worst

REASONS_MAX = 20
INSIDE = ("sets", "samples")  # of a row, for analyses alone


def record(
    experiment: Experiment, drive: Drive, pursuits: Pursuits, stopped: str, about: dict[str, Any]
) -> dict[str, Any]:
    """Of what is done so far. `stopped` says why it is not more; `about` goes in as it is."""
    seen, searches = pursuits.in_order()
    rows = beginnings.judged(experiment.search, [row_of(experiment, one) for one in seen], searches)
    found = [of_search(one) for one in searches]
    evidence = Evidence(experiment, rows, found, experiment.options)
    conclusion, checks, no_figure = conclude(evidence)
    missing = list(left(experiment, pursuits))
    counts = drive.counts
    failed = judged(checks, conclusion["figures"])
    broken = [*reasons_of(rows), *failed]
    early = [f"ended early: {stopped}"] if stopped else []
    early += drive.lost
    if missing:
        early.append(
            f"{some(len(missing), 'point')} missing: {', '.join(missing[:3])}" + dots(missing, 3)
        )
    early += [*no_figure, *(doubts(searches, found) if experiment.relief else ())]
    return {
        "schema": SCHEMA,
        "verdict": worst(
            [row.verdict for row in rows] + ["violated"] * bool(failed) + ["unknown"] * bool(early)
        ),
        "reasons": shortened(broken) + early,
        "experiment": experiment.about.name,
        "question": experiment.about.question.strip(),
        "prediction": experiment.about.prediction.strip(),
        "points": counts.points,
        "done": counts.done,
        "reused": counts.reused,
        "seeds": drive.seeds,
        "runs": {
            "wanted": counts.runs,
            "done": counts.runs_done,
            "reused": counts.runs_reused,
            "redone": about["redone"],
            "seconds": sum(one["engine"]["wall_seconds"] for one in drive.summaries.values()),
        },
        "conclusion": conclusion,
        "checks": checks,
        **shown(experiment),
        "rows": [row_json(row) for row in rows],
        "found": found,
        "missing": missing,
        **beginnings.shown(rows),
        "adjustments": drive.changed,
        "versions": versions(),
        **{key: value for key, value in about.items() if key != "redone"},
    }


def left(experiment: Experiment, pursuits: Pursuits) -> Iterator[str]:
    """Combinations without a row, or without an answer."""
    if experiment.search:
        over = {one.point.place for one in pursuits.found if one.over}
    else:
        over = {seen.point.place for seen in pursuits.seen}
    return (
        point.name or "the search"
        for point in combinations(experiment.axes)
        if point.place not in over
    )


def doubts(searches: list[Found], found: list[dict[str, Any]]) -> Iterator[str]:
    """Limits that were to be found, and are not known: of nobody, or of one that nothing bears out."""
    for search, one in zip(searches, found, strict=True):
        place = search.point.name or "the search"
        if one["limiting"] and one["borne_out"] != "yes":
            yield f"{place}: {limit_of(one)}"
        elif not one["limiting"] and limited(one["answer"]):
            yield (
                f"{place}: what limits is not known: nobody refused for want of room, or is busy enough to explain "
                "a time that is missed"
            )


def reasons_of(rows: list[Row]) -> list[str]:
    """The first reason of every point that is not valid."""
    return [f"{row.name}: {row.reasons[0]}" for row in rows if row.reasons]


def shortened(lines: list[str]) -> list[str]:
    """No more than can be read."""
    more = len(lines) - REASONS_MAX
    return lines[:REASONS_MAX] + ([f"and {number(more)} more"] if more > 0 else [])


def dots(names: list[str], most: int) -> str:
    """That there are more."""
    return ", ..." if len(names) > most else ""


def of_search(one: Found) -> dict[str, Any]:
    """As JSON."""
    return {
        "place": dict(one.point.place),
        "answer": one.answer._asdict(),
        "limiting": one.limiting,
        "resources": one.resources,
        "relieved": of_search(one.relieved) if one.relieved else None,
        "borne_out": one.borne_out,
        "idle": one.idle,
        "control": of_search(one.control) if one.control else None,
    }


def row_json(row: Row) -> dict[str, Any]:
    """As JSON: intervals as {mean, low, high}."""
    found = {name: getattr(row, name) for name in row.__struct_fields__ if name not in INSIDE}
    if not row.left_out:
        del found["left_out"]
    return {**found, "values": {name: as_json(value) for name, value in row.values.items()}}


def shown(experiment: Experiment) -> dict[str, Any]:
    """What of the experiment a report needs."""
    search = experiment.search
    return {
        "axes": axes_of(experiment),
        "search": search
        and {
            "name": search.title,
            "unit": search.unit,
            "low": search.low,
            "high": search.high,
            "objective": experiment.objective,
        },
        "measures": [
            {"name": m.name, "unit": m.unit, "meaning": m.meaning} for m in experiment.measures
        ],
        "plots": [msgspec.to_builtins(plot) for plot in experiment.plots],
    }
