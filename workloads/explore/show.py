"""An exploration for people: the verdict, what was shown, the shortest counterexample."""

import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

from cluster.explore import Search
from workloads.explore.exploration import Exploration
from workloads.explore.model import Model
from workloads.explore.properties import JUDGE, Property, length
from workloads.explore.trace import trace_of

WIDTH = 120
ROW = "  {:20}{:9}{:>10}{:>11}{:>7}  "
CUT = {
    "states": "the limit of states was reached",
    "depth": "the limit of depth was reached",
    "stopped": "stopped early",
}


def page(found: Exploration, words: str) -> Iterator[str]:
    """All of it; `words` are those of the command that explores this again."""
    scenario, search = found.model.scenario, found.search
    yield f"{found.verdict.upper()}  {scenario.scenario.name}, protocol {found.protocol}, judged by {JUDGE}"
    yield ""
    yield f"  states           {states(search)}"
    if search.reduction:
        yield "  reduction        orders that change nothing are left out: a way may have more moves than it needs"
    if search.symmetry:
        yield f"  equal            {', '.join(found.exchanged)}: a state stands for all that exchanges make of it"
    for why in found.unlike:
        yield f"  not equal        {why}"
    if search.cut:
        yield f"  ended early      {CUT[search.cut]}: what was not met may still be there"
    yield f"  faults           {faults(found.model)}"
    yield from table(found.properties, found.model)
    if found.breach:
        yield ""
        yield from counterexample(found, words)


def protocols(found: Sequence[Exploration], verdict: str) -> Iterator[str]:
    """One table: what each protocol shows."""
    first = found[0]
    scenario = first.model.scenario.scenario.name
    yield f"{verdict.upper()}  {scenario}, {len(found)} protocols, judged by {JUDGE}"
    yield ""
    yield f"  faults     {faults(first.model)}"
    yield f"  reduction  {first.reduction}"
    yield ""
    yield ROW.format("protocol", "verdict", "distinct", "generated", "depth") + "shown"
    for each in found:
        search = each.search
        counts = f"{search.distinct:,}", f"{search.generated:,}", search.depth
        head = ROW.format(each.protocol, each.verdict, *counts)
        text = shown(each.properties) or "nothing"
        yield from textwrap.wrap(
            text, WIDTH, initial_indent=head, subsequent_indent=" " * len(head)
        )
    yield ""
    yield "(N): in N moves. !: two-phase's row does not admit it; !!: nor does the protocol's own."


def shown(properties: Sequence[Property], marked: bool = True) -> str:
    """Names of what must not be or is admitted, in order of the moves to it: `AN15 (35), I4, AN11! (61)`."""
    by_moves: dict[int, list[str]] = {}
    for each in properties:
        if each.shown and each.kind != "sometimes":
            mark = "" if each.admitted or not marked else "!" if each.own else "!!"
            by_moves.setdefault(length(each), []).append(each.name + mark)
    return ", ".join(f"{', '.join(names)} ({n})" for n, names in sorted(by_moves.items()))


def states(search: Search) -> str:
    """How many there are."""
    return f"{search.distinct:,} distinct, {search.generated:,} generated, depth {search.depth}"


def choices(trace: dict[str, Any]) -> str:
    """As --choices has them."""
    return ",".join(map(str, trace["choices"] + trace["cycle"]))


def faults(model: Model) -> str:
    """How many may strike, and where."""
    most, points = model.system.faults, len(model.points)
    return f"at most {most} in a run, at any of {points} points" if points and most else "none"


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


def counterexample(found: Exploration, words: str) -> Iterator[str]:
    """The transcript, and the command that shows it again."""
    each, system = found.breach, found.model.system
    assert each and each.way
    trace = trace_of(system, each.way)
    how = "the shortest way there" if found.shortest else "a way there"
    yield f"{each.name}, {each.title}: {how}, {trace['moves']} moves"
    for number, text in enumerate(trace["transcript"]):
        if number == trace["moves"]:
            yield "      and from here on round and round:"
        yield text
    yield f"replay: {words} --choices {choices(trace)}"
