"""report.html of a sweep, made from points.json and nothing else."""

from collections.abc import Mapping
from typing import Any

from workloads.outcome import sweep_plots as plots
from workloads.outcome.figures import duration, number, some
from workloads.outcome.html import command, figure, page, paragraph, section, table
from workloads.outcome.html import verdict as verdict_box
from workloads.outcome.seeds import ANECDOTE, spread
from workloads.outcome.sweep_table import (
    CODE_DIGITS,
    answer_head,
    answer_rows,
    check_rows,
    controlled,
    notes,
    places,
    point_head,
    point_rows,
)

Found = Mapping[str, Any]
VERDICTS = {
    "valid": "Every point was run to its end and kept its promises, and every check of the answer holds.",
    "violated": "A point broke a promise of its protocol, or a check failed:",
    "unknown": "Not everything that was asked could be answered:",
}


def render(found: Found) -> str:
    """The page: question, what was expected, answer; then the points it is made from."""
    word, title = found["verdict"], f"{found['experiment']}: an experiment"
    parts = [
        verdict_box(title, word, VERDICTS[word], found["reasons"]),
        section("Question", *texts(found["question"])),
        section("Prediction, written before the run", *texts(found["prediction"])),
        conclusion(found),
        searched(found),
        *(over_axis(found, number) for number in range(len(found["plots"]))),
        points(found),
        meanings(found),
        engine(found),
        reproduce(found),
    ]
    return page(title, filter(None, parts))


def texts(text: str) -> list[str]:
    """Paragraphs are parted by empty lines."""
    return [paragraph(" ".join(part.split())) for part in text.split("\n\n") if part.strip()]


def conclusion(found: Found) -> str:
    """The answer in words, and its figures."""
    told = found["conclusion"]
    figures = {name: one["text"] for name, one in told["figures"].items()}
    return section(
        "Answer",
        *texts(told["text"]),
        table(
            "Checks of the answer",
            ("figure", "wanted", "found", ""),
            list(check_rows(found)),
            texts=(1, 3),
        ),
        *(table("Figures by place", one["head"], one["rows"]) for one in told.get("tables", [])),
        table(
            f"Figures of the analysis ({told['analysis']})", ("figure", "value"), [*figures.items()]
        ),
    )


def searched(found: Found) -> str:
    """What each search came to."""
    if not found["found"]:
        return ""
    title = "What the searches found"
    marks = ["a dot as it is"]
    if any(one["relieved"] for one in found["found"]):
        marks.append("a square with the limiting resource relieved")
    if controlled(found):
        marks.append("a diamond with the one that limits least relieved")
    text = f"The largest value at which the objective holds: {', '.join(marks)}."
    rows = [[*row] for row in answer_rows(found)]
    head = answer_head(found)
    if not found["axes"]:
        head, rows = ["", *head], [["all", *row] for row in rows]
    return section(
        title,
        *map(paragraph, notes(found)),
        figure(plots.answers(found, title, text), text),
        table("Answers (simulated)", head, rows),
    )


def over_axis(found: Found, index: int) -> str:
    """A measure over an axis."""
    plot = found["plots"][index]
    if not plots.series(found, plot["x"], plot["y"]):
        return ""
    title = f"{plot['y']} over {plot['x']}"
    others = [name for name in places(found) if name != plot["x"]]
    lines = f", a line for each {' and '.join(others)}" if others else ""
    bars = "; bars are 95% intervals" if found["seeds"] > 1 else ""
    text = f"{title}{lines}{bars} (simulated)"
    return section(title, figure(plots.over_axis(found, plot, f"plot{index}", title, text), text))


def points(found: Found) -> str:
    """The whole table."""
    lines = list(spread(found["seeds"])) if found["seeds"] > 1 else [ANECDOTE]
    lines += [] if found["found"] else notes(found)
    if found["missing"]:
        lines.append(f"Not run: {', '.join(found['missing'])}")
    caption = f"{some(len(found['rows']), 'point')}, {some(found['seeds'], 'seed')} each, simulated"
    return section(
        "The points",
        *map(paragraph, lines),
        table(caption, point_head(found), point_rows(found), texts=text_columns(found)),
    )


def text_columns(found: Found) -> list[int]:
    """Columns that are no numbers, but for the first."""
    return list(range(1, len(point_head(found)) - len(found["measures"])))


def meanings(found: Found) -> str:
    """What the columns are."""
    rows = [(one["name"], one["meaning"]) for one in found["measures"] if one["meaning"]]
    return section("What the names mean", table("", ("", ""), rows, texts=(1,), heads=False))


def engine(found: Found) -> str:
    """What it took to compute this; no simulated time among it."""
    runs = found["runs"]
    text = (
        f"{some(runs['done'], 'run')}, {number(runs['reused'])} of them from before, "
        f"{duration(found['wall_seconds'])} of wall time."
    )
    if "code" in found:
        text += (
            f" Whenever they were made, runs took {duration(runs['seconds'])} of one CPU each in all; "
            f"sources {found['code'][:CODE_DIGITS]}, {found['date']}."
        )
    return section("Engine (wall clock)", paragraph(text))


def reproduce(found: Found) -> str:
    """The command that runs it again; finished points are not run again by the same code."""
    return section("How to reproduce it", command(found["command"]))
