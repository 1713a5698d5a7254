"""A comparison of protocols as one plain record: compare.json, and what `gmemsim compare --json` prints."""

from collections.abc import Mapping, Sequence
from typing import Any

from workloads.outcome.figures import number, some
from workloads.outcome.seeds import seeds_record
from workloads.outcome.shape import SCHEMA
from workloads.outcome.verdict import worst

Summary = dict[str, Any]


def comparison(
    about: Mapping[str, Any],
    wanted: Sequence[str],
    runs: Mapping[str, Sequence[Summary]],
    seeds: int,
) -> dict[str, Any]:
    """From every protocol's runs, first seed first. Who of `wanted` has none was not run any more.

    `about` goes in as it is: scenario, seed, loops that are closed, adjustments.
    """
    protocols = {name: summaries[0] for name, summaries in runs.items()}
    missing = [name for name in wanted if name not in runs]
    over = {name: seeds_record(summaries, seeds) for name, summaries in runs.items()}
    found: dict[str, Any] = {
        "schema": SCHEMA,
        "verdict": worst(
            [record["verdict"] for record in over.values()] + ["unknown"] * bool(missing)
        ),
        **about,
        "not_run": missing,
        "protocols": protocols,
    }
    if seeds > 1:
        found["seeds"] = {"wanted": seeds, "protocols": over}
    return found


def protocol_summaries(found: Mapping[str, Any]) -> dict[str, Summary]:
    """Protocol -> the summary of its first seed, with `seeds` in it where there are several."""
    over = found.get("seeds", {}).get("protocols", {})
    return {
        name: {**summary, **({"seeds": over[name]} if name in over else {})}
        for name, summary in found["protocols"].items()
    }


def verdict_of(summary: Mapping[str, Any]) -> str:
    """Of one protocol, over all its seeds."""
    return str(summary.get("seeds", summary)["verdict"])


def reasons(found: Mapping[str, Any]) -> list[str]:
    """Why it is not valid: the first reason of each protocol that is not, and who was not run."""
    lines = []
    for name, summary in protocol_summaries(found).items():
        if verdict_of(summary) == "valid":
            continue
        seeds = summary.get("seeds", {}).get("runs", [summary])
        told = [(run["seed"], text) for run in seeds for text in run["reasons"]]
        if told:
            (seed, text), more = told[0], len(told) - 1
            of = f" (seed {seed})" if len(seeds) > 1 else ""
            lines.append(f"{name}{of}: {text}" + (f" (and {number(more)} more)" if more else ""))
        else:
            lines.append(
                f"{name}: {len(seeds)} of {some(summary['seeds']['wanted'], 'seed')} were run"
            )
    if found["not_run"]:
        lines.append(f"not run any more: {', '.join(found['not_run'])}")
    return lines


def marked(found: Mapping[str, Any], name: str) -> str:
    """A protocol's name, with a star if it ran something else than the scenario says."""
    return name + ("*" if found["adjustments"].get(name) else "")


def adjustment_lines(found: Mapping[str, Any]) -> list[str]:
    """Footnotes: who ran something else than the scenario says."""
    return [
        f"* {name} ran with "
        + ", ".join(f"{key} = {c['now']} (not {c['was']})" for key, c in changed.items())
        for name, changed in found["adjustments"].items()
    ]


def loop_lines(found: Mapping[str, Any]) -> list[str]:
    """That the columns are not of one load, and which workloads are why."""
    loops = found["closed_loops"]
    text = "closed loop: who is slow or dead was asked for less, so the columns are not of one load"
    return [text, *(f"  {line}" for line in loops)] if loops else []
