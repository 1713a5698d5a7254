"""What searches found: the largest value that holds the objective, what limits it, what relieving that brings."""

import math
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from workloads.experiment.analyses.contract import Evidence, Figure, Figures
from workloads.experiment.points import shown
from workloads.experiment.records import Experiment, Unit, Value
from workloads.outcome.sweep_table import limit_name, limit_of

NONE = "none"  # not even the lowest value holds; and no limit was met


def capacity(found: Evidence) -> Figures:
    """Of each combination of the axes, named by its values, and of all together; without axes there is but the one.

    `answer undo`: the value, "at least" the highest where that held, "none" where the lowest did not; `limit undo`: the
    resource, "none" where no limit was met; `gain undo`: the answer with more of it over the answer;
    `control undo`, `control gain undo`: the same of the resource that limits least. `least answer`, `most answer`,
    `least gain`, `most gain`, `least control gain`, `most control gain`, each with `... at`; `limits`: each limiting
    resource with how often, and if not borne out; `monotone`: whether no search met a value beyond a miss that held.
    """
    figures: Figures = {}
    gains: Figures = {}
    answers: Figures = {}
    controls: Figures = {}
    limits: Counter[str] = Counter()
    for one in found.found:
        name = name_of(one["place"].values())
        answer = answer_of(found.experiment, one)
        answers[name] = answer
        limits[limit_of(one)] += 1
        figures[f"answer {name}".strip()] = answer
        figures[f"limit {name}".strip()] = Figure(limit_name(one))
        figures[f"control {name}".strip()] = Figure(one["idle"] or NONE)
        for what, values, other in (
            ("gain", gains, one["relieved"]),
            ("control gain", controls, one["control"]),
        ):
            gain = gain_of(answer, answer_of(found.experiment, other)) if other else None
            if gain:
                values[name] = figures[f"{what} {name}".strip()] = gain
    for what, values in (("answer", answers), ("gain", gains), ("control gain", controls)):
        for word, choose in (("least", min), ("most", max)):
            if values:
                name, figures[f"{word} {what}"] = extreme(choose, values)
                figures[f"{word} {what} at"] = Figure(name)
    figures["limits"] = Figure(", ".join(f"{name} ({n})" for name, n in limits.most_common()))
    figures["monotone"] = Figure("yes" if all(map(monotone, found.found)) else "no")
    return figures


def name_of(place: Iterable[Value]) -> str:
    """Of a combination of the axes."""
    return " ".join(map(shown, place))


def answer_of(experiment: Experiment, one: dict[str, Any]) -> Figure:
    """What a search found; beyond its ends nobody has looked."""
    assert experiment.search
    answer = one["answer"]
    if answer["value"] is None:
        below = math.nextafter(experiment.search.low, -math.inf)
        return Figure(NONE, span=(-math.inf, below), or_none=True)
    beyond = (answer["value"], math.inf) if answer["most"] else None
    unit: Unit = "count" if isinstance(answer["value"], int) else "number"
    return Figure(answer["value"], unit, span=beyond, or_none=True)


def gain_of(before: Figure, after: Figure) -> Figure | None:
    """The answer with a resource relieved, over the answer as it is; None where either is none."""
    if before.span or not before.ends[0] or after.value == NONE:
        return None
    gain, most = (end / before.ends[0] for end in after.ends)
    return Figure(gain, span=(gain, most) if after.span else None)


def extreme(choose: Callable[..., Any], figures: Figures) -> tuple[str, Figure]:
    """The least or the most, and whose it is: of all that have it, or that may where some are open."""
    name = choose(figures, key=lambda name: figures[name].ends[0])
    low, high = (choose(one.ends[end] for one in figures.values()) for end in (0, 1))
    rivals = [
        other
        for other, one in figures.items()
        if (one.ends[0] <= high if choose is min else one.ends[1] >= low)
    ]
    span = None if low == high else (low, high)
    found = figures[name]._replace(span=span)
    *others, last = (other or "all" for other in rivals)
    named = (" or " if span else " and ").join(filter(None, (", ".join(others), last)))
    return named, found


def monotone(one: dict[str, Any]) -> bool:
    """Of a search and those with a resource relieved."""
    others = filter(None, (one["relieved"], one["control"]))
    return bool(one["answer"]["monotone"]) and all(map(monotone, others))
