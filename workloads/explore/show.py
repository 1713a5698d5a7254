"""An exploration for people: the verdict, what was shown, the shortest counterexample."""

from collections.abc import Iterator, Sequence
from typing import Any

from cluster.explore import Search, System
from workloads.explore.model import Model
from workloads.explore.properties import JUDGE, Property, Verdict
from workloads.explore.trace import trace_of

CUT = {
    "states": "the limit of states was reached",
    "depth": "the limit of depth was reached",
    "stopped": "stopped early",
}


def page(
    model: Model, search: Search, properties: Sequence[Property], verdict: Verdict, words: str
) -> Iterator[str]:
    """All of it; `words` are those of the command that explores this again."""
    scenario = model.scenario
    yield f"{verdict.upper()}  {scenario.scenario.name}, protocol {scenario.protocol.name}, judged by {JUDGE}"
    yield ""
    yield f"  states           {search.distinct:,} distinct, {search.generated:,} generated, depth {search.depth}"
    if search.cut:
        yield f"  ended early      {CUT[search.cut]}: what was not met may still be there"
    yield f"  faults           {faults(model)}"
    yield from table(properties, model)
    found = worst(properties)
    if found:
        yield ""
        yield from counterexample(model.system, found, words)


def worst(properties: Sequence[Property]) -> Property | None:
    """The breach with the shortest way there."""
    breaches = [each for each in properties if each.verdict == "violated" and each.way]
    return min(breaches, key=length, default=None)


def choices(trace: dict[str, Any]) -> str:
    """As --choices has them."""
    return ",".join(map(str, trace["choices"] + trace["cycle"]))


def faults(model: Model) -> str:
    """How many may strike, and where."""
    most, points = model.system.faults, len(model.points)
    return f"at most {most} in a run, at any of {points} points" if points and most else "none"


def length(each: Property) -> int:
    """Moves of a counterexample."""
    return len(each.way.steps) + len(each.way.cycle) if each.way else 0


def table(properties: Sequence[Property], model: Model) -> Iterator[str]:
    """What was shown, by kind; of what must not be, whether somebody's row admits it."""
    own = model.scenario.protocol.name
    for kind in ("always", "eventually"):
        rows = [each for each in properties if each.kind == kind]
        shown = sorted((each for each in rows if each.shown), key=length)
        yield f"  {kind:16} {len(rows) - len(shown)} of {len(rows)} hold in every state that was met"
        for each in shown:
            other = "admits" if each.own else "does not admit"
            row = "admitted" if each.admitted else f"BREACH; {own}'s own row {other} it"
            yield f"    {each.name:5} {each.title}: in {length(each)} moves ({row})"
    met = [each for each in properties if each.kind == "sometimes"]
    missed = [each for each in met if not each.shown]
    text = f"{len(met) - len(missed)} of {len(met)} met"
    for verdict, word in (
        ("violated", "BREACH, never"),
        ("never", "never"),
        ("unknown", "not yet"),
    ):
        names = ", ".join(each.name for each in missed if each.verdict == verdict)
        text += f"; {word}: {names}" if names else ""
    yield f"  sometimes        {text}"


def counterexample(system: System, each: Property, words: str) -> Iterator[str]:
    """The transcript, and the command that shows it again."""
    assert each.way
    trace = trace_of(system, each.way)
    yield f"{each.name}, {each.title}: the shortest way there, {trace['moves']} moves"
    for number, text in enumerate(trace["transcript"]):
        if number == trace["moves"]:
            yield "      and from here on round and round:"
        yield text
    yield f"replay: {words} --choices {choices(trace)}"
