"""What searches found: the largest value that holds the objective, what limits it, what relieving that brings."""

from collections import Counter
from typing import Any

from workloads.experiment.analyses.contract import Evidence, Figure, Figures
from workloads.experiment.points import shown


def capacity(found: Evidence) -> Figures:
    """Of each combination of the axes, named by its values; and of all together.

    `answer undo`: the value; `limit undo`: the resource; `gain undo`: the answer with its cost halved over the answer;
    `control undo`, `control gain undo`: the same of the resource that limits least. `least answer`, `most answer`,
    `least gain`, `most gain`, `least control gain`, `most control gain`, each with `... at`; `limits`: each limiting
    resource with how often; `monotone`: whether no search met a value beyond a miss that held.
    """
    figures: Figures = {}
    gains: dict[str, float] = {}
    answers: dict[str, float] = {}
    controls: dict[str, float] = {}
    for one in found.found:
        name = " ".join(shown(value) for value in one["place"].values()) or "all"
        answer = one["answer"]["value"]
        figures[f"answer {name}"] = Figure(answer if answer is not None else "none")
        figures[f"limit {name}"] = Figure(one["limiting"] or "unknown")
        if answer is not None:
            answers[name] = answer
        figures[f"control {name}"] = Figure(one["idle"] or "none")
        for what, values, other in (
            ("gain", gains, one["relieved"]),
            ("control gain", controls, one["control"]),
        ):
            gain = gain_of(answer, other)
            if gain is not None:
                values[name] = gain
                figures[f"{what} {name}"] = Figure(gain)
    for what, values in (("answer", answers), ("gain", gains), ("control gain", controls)):
        for word, choose in (("least", min), ("most", max)):
            if values:
                name = choose(values, key=lambda key: values[key])
                figures[f"{word} {what}"] = Figure(values[name])
                figures[f"{word} {what} at"] = Figure(name)
    limits = Counter(one["limiting"] or "unknown" for one in found.found)
    figures["limits"] = Figure(", ".join(f"{name} ({n})" for name, n in limits.most_common()))
    figures["monotone"] = Figure("yes" if all(map(monotone, found.found)) else "no")
    return figures


def gain_of(before: float | None, other: dict[str, Any] | None) -> float | None:
    """The answer with a resource relieved, over the answer as it is."""
    after = other and other["answer"]["value"]
    return after / before if before and after else None


def monotone(one: dict[str, Any]) -> bool:
    """Of a search and those with a resource relieved."""
    others = filter(None, (one["relieved"], one["control"]))
    return bool(one["answer"]["monotone"]) and all(map(monotone, others))
