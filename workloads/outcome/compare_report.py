"""report.html of a comparison, made from compare.json and what was found in each protocol's run."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from workloads.outcome import compare_plots as plots
from workloads.outcome import phase_plots
from workloads.outcome.compare_rows import EXCLUDED, legend, rows
from workloads.outcome.comparison import (
    adjustment_lines,
    loop_lines,
    marked,
    protocol_summaries,
    reasons,
    verdict_of,
)
from workloads.outcome.figures import duration, number, rate, some
from workloads.outcome.files import FindingLine
from workloads.outcome.html import command, figure, page, paragraph, section, table
from workloads.outcome.html import verdict as verdict_box
from workloads.outcome.seeds import ANECDOTE, RARE, over_seeds, spread
from workloads.outcome.stories import stories

Found = Mapping[str, Any]
Findings = Mapping[str, Sequence[FindingLine]]
"""Protocol -> what was found in its first seed, in order of time."""
VERDICTS = {
    "valid": "No protocol showed anything that its own definition excludes, and every check passed.",
    "violated": "Some protocol broke a promise of its own, or a check failed:",
    "unknown": "Not everything was run to its end.",
}


def render(found: Found, findings: Findings) -> str:
    """The page: the verdict first, how to get it again last."""
    word = found["verdict"]
    parts = [
        verdict_box(
            f"{found['scenario']}: protocols compared", word, VERDICTS[word], reasons(found)
        ),
        whole_table(found),
        latency(found),
        outcomes(found),
        phases(found),
        how(findings),
        engine(found),
        runs(found),
        reproduce(found),
    ]
    return page(f"{found['scenario']}: protocols compared", filter(None, parts))


def told(found: Found) -> dict[str, dict[str, Any]]:
    """Protocol -> summary, with intervals where there are several seeds."""
    return {name: over_seeds(one) for name, one in protocol_summaries(found).items()}


def whole_table(found: Found) -> str:
    """Everything in one table, and what to know of it."""
    told = rows(found)
    lines = [(row.label.strip(), *(cell.text for cell in row.cells)) for row in told]
    known = dict(legend(found)) | {row.label.strip(): row.meaning for row in told if row.meaning}
    notes = [
        "The same seed, load and faults for each. "
        f"A figure with {EXCLUDED.strip()} is one that the protocol's own definition excludes.",
        *adjustment_lines(found),
        *loop_lines(found),
        *((*spread(found["seeds"]["wanted"]), RARE) if "seeds" in found else (ANECDOTE,)),
    ]
    caption = f"{some(len(found['protocols']), 'protocol')} on {found['scenario']}, simulated"
    return section(
        "What each protocol came to",
        *map(paragraph, notes),
        table(
            caption,
            ("", *(marked(found, name) for name in found["protocols"])),
            lines,
            meanings=known,
        ),
    )


def latency(found: Found) -> str:
    """How long requests took."""
    summaries = told(found)
    title = "Latency (simulated)"
    if not any(plots.mean(one["latency_seconds"]["p99"]) for one in summaries.values()):
        return section(title, paragraph("No conversion was answered."))
    text = (
        "Bars run from the median to the 99th percentile, failed requests included; "
        "those that found their VM dead have no latency. A line is the 95% interval of a mean p99."
    )
    return section(title, figure(plots.latency(summaries, title, text), text))


def outcomes(found: Found) -> str:
    """What became of the requests."""
    title = "Requests"
    text = "What became of the requests. One that is asked for again after a failure counts again."
    return section(title, figure(plots.outcomes(told(found), title, text), text))


def phases(found: Found) -> str:
    """What conversions take of the consumers' time."""
    bars = [
        (name, phase_plots.together(phase_plots.of_consumers(one["phases"], answered(one))))
        for name, one in told(found).items()
    ]
    bars = [(name, parts) for name, parts in bars if any(parts.values())]
    if not bars:
        return ""
    title = "Phases"
    text = (
        "What an answered request took of all consumers' simulated time together, phase by phase. "
        "They work side by side, so a request may well take less. Each run's page has them by consumer."
    )
    return section(title, figure(phase_plots.stacked(bars, "phases", title, text), text))


def answered(summary: Mapping[str, Any]) -> float:
    """Requests that had an answer."""
    requests = summary["conversions"]
    return plots.mean(requests["completed"]) + plots.mean(requests["failed"])


def engine(found: Found) -> str:
    """What it took to compute this; no simulated time among it."""
    rows = [
        (
            name,
            duration(one["engine"]["wall_seconds"]),
            number(one["engine"]["events"]),
            rate(one["engine"]["events_per_second"]),
        )
        for name, one in protocol_summaries(found).items()
    ]
    head = ("protocol", "wall time", "events", "events a second")
    return section("Engine (wall clock)", table("The first seed of each", head, rows))


def how(findings: Findings) -> str:
    """How the first finding of each kind came about under each protocol."""
    told = [
        story
        for protocol, found in findings.items()
        for story in stories({one.id: one for one in reversed(found)}.values(), f"{protocol}: ")
    ]
    text = "The first of each kind under each protocol; each run's own page has more of them."
    return section("How it came about", paragraph(text), *told) if told else ""


def runs(found: Found) -> str:
    """Where each protocol's own results are."""
    lines = [
        f'<li><a href="{escape(name)}/report.html">{escape(name)}</a>: '
        f"{escape(verdict_of(one))}, digest <code>{escape(one['digest'])}</code></li>"
        for name, one in protocol_summaries(found).items()
    ]
    return section("The runs", f"<ul>{''.join(lines)}</ul>")


def reproduce(found: Found) -> str:
    """The command that compares again."""
    names = ",".join((*found["protocols"], *found["not_run"]))
    seeds = f" --seeds {found['seeds']['wanted']}" if "seeds" in found else ""
    line = f"gmemsim compare scenario.toml --protocol {names}{seeds}"
    return section("How to reproduce it", paragraph("In the folder of this report:"), command(line))
