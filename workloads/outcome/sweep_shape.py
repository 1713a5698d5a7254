"""The layout of points.json: what a sweep came to, enough to make its report from."""

from typing import Any, NotRequired, TypedDict

from workloads.outcome.shape import Changed, Verdict

Place = dict[str, str | int | float | bool]


class Runs(TypedDict):
    """Points times seeds, as far as they are known to be wanted; `redone` were on a worker that was lost. `seconds` is
    how long different ones took, whenever that was, in wall time of one CPU each."""

    wanted: int
    done: int
    reused: int
    redone: int
    seconds: NotRequired[float]  # results of before have none


class AxisShown(TypedDict):
    """What was varied, over what."""

    name: str
    unit: str
    values: list[Any]


class MeasureShown(TypedDict):
    """A column."""

    name: str
    unit: str
    meaning: str


class PlotShown(TypedDict):
    """A figure: measure over axis."""

    x: str
    y: str
    xscale: str
    yscale: str


class RowShown(TypedDict):
    """A point that is done. `relieved` is the resource that was relieved, `held` whether the objective held, `left_out`
    the share of conversions that each seed's latencies leave out of its beginning; None where that cannot be told."""

    name: str
    place: Place
    relieved: str
    held: bool | None
    seeds: int
    verdict: Verdict
    reasons: list[str]
    values: dict[str, Any]  # measure -> {mean, low, high}, or None
    left_out: NotRequired[list[float | None]]  # where the scenario asks for it


class AnswerShown(TypedDict):
    """See workloads.experiment.search.Answer."""

    value: float | None
    missed: float | None
    most: bool
    monotone: bool
    tried: list[tuple[float, bool]]


class FoundShown(TypedDict):
    """What the search came to in one combination of the axes; `relieved` is the same with more of what limits,
    `borne_out` whether that brought more (yes, no, unchecked; "" where nothing is named), `control` with more of what
    limits least, `idle`."""

    place: Place
    answer: AnswerShown
    limiting: str
    resources: dict[str, dict[str, float]]
    relieved: Any
    borne_out: NotRequired[str]  # results of before have none
    idle: str
    control: Any


class FigureShown(TypedDict):
    """A figure of the conclusion."""

    value: float | str | None
    low: float | None
    high: float | None
    unit: str
    text: str


class TableShown(TypedDict):
    """Cells of text."""

    head: list[str]
    rows: list[list[str]]


class ConclusionShown(TypedDict):
    """The answer in words, the figures that an analysis made, and the tables that were asked for."""

    analysis: str
    text: str
    figures: dict[str, FigureShown]
    tables: NotRequired[list[TableShown]]  # results of before have none


class SearchShown(TypedDict):
    """What was searched for."""

    name: str
    unit: str
    low: float
    high: float
    objective: dict[str, str]


class AnswerCheck(TypedDict):
    """A limit on a figure of the conclusion; `value` None is that there is none, `ok` None that it is not known."""

    name: str
    limit: str
    value: float | str | None
    ok: bool | None


class WarmUpShown(TypedDict):
    """The least and the most share of a run's conversions that its latencies leave out; None where no run can tell."""

    runs: int
    cannot_tell: int
    least: float | None
    most: float | None


class Swept(TypedDict):
    """points.json. `points` are those that are known to be wanted, `done` those with all seeds, `reused` those of them
    that were there before."""

    schema: int
    verdict: Verdict
    reasons: list[str]
    experiment: str
    question: str
    prediction: str
    command: str
    points: int
    done: int
    reused: int
    seeds: int
    runs: Runs
    conclusion: ConclusionShown
    checks: list[AnswerCheck]
    axes: list[AxisShown]
    search: SearchShown | None
    measures: list[MeasureShown]
    plots: list[PlotShown]
    rows: list[RowShown]
    found: list[FoundShown]
    missing: list[str]
    warm_up: NotRequired[WarmUpShown]  # where the scenario asks for it
    closed_loops: list[str]
    adjustments: dict[str, dict[str, Changed]]
    wall_seconds: float
    date: NotRequired[str]  # of UTC; results of before have none
    code: NotRequired[str]  # a hash of the sources that simulate and summarise
    versions: dict[str, str | None]
