"""Points that are made up: an analysis makes of them all figures that it can make of real ones, by name and kind."""

from typing import Any

from workloads.experiment.analyses.contract import Evidence
from workloads.experiment.points import combinations
from workloads.experiment.records import Experiment
from workloads.experiment.rows import Row
from workloads.outcome.interval import Interval

LEAST, MOST = (
    0.2,
    0.4,
)  # shares and times alike, such as a queue with room and a wait shorter than its service has


def probe(experiment: Experiment) -> Evidence:
    """Each combination of the axes once, with a value of every measure, growing from point to point, and an answer."""
    points = list(combinations(experiment.axes))
    rows = []
    for number, point in enumerate(points):
        value = LEAST + (MOST - LEAST) * number / len(points)
        rows.append(
            Row(
                name=point.name,
                place=dict(point.place),
                relieved="",
                held=None,
                seeds=1,
                verdict="valid",
                reasons=[],
                values={measure.name: Interval(value, None) for measure in experiment.measures},
                sets={},
                samples={measure.name: [value] for measure in experiment.measures},
            )
        )
    found = [searched(experiment, row.place) for row in rows] if experiment.search else []
    return Evidence(experiment, rows, found, experiment.options)


def searched(experiment: Experiment, place: dict[str, Any]) -> dict[str, Any]:
    """See workloads.experiment.record.of_search; relieved where the experiment says how."""
    assert experiment.search
    value = experiment.search.high or 1.0
    answer = {"value": value, "missed": value, "most": False, "monotone": True, "tried": []}
    one = {"place": place, "answer": answer, "limiting": "", "borne_out": "", "idle": ""}
    relieved = any(experiment.relief.values())
    cheaper = {**one, "relieved": None, "control": None} if relieved else None
    return {**one, "relieved": cheaper, "control": cheaper}
