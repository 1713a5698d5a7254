"""docs/reference/protocols.md, from the protocols' tables; run as a module it prints the page."""

from collections.abc import Iterable, Iterator
from itertools import groupby

from actors.contract import Share, Trace
from actors.gmem.steps import ACTIONS
from actors.protocols import PROTOCOLS
from actors.protocols.marks import MARKS, NODE, SPLIT, Mark
from actors.protocols.options import Options
from actors.protocols.table import ALL, Row, Stage, Table
from workloads.checkers.admitted import NEVER, ROWS, admits, admitting, opening
from workloads.markdown import codes, table
from workloads.scenario import Protocol
from workloads.scenario.keys import entries

HEAD = """\
# Protocols

Generated from `actors/protocols` by `python -m workloads.protocol_page`; do not edit.

A protocol is a table. In stage *in*, on the event *on*, guest_memfd does *do*, perhaps by asking *whom*, and is in
stage *then*; what has no row cannot happen. *step* cites the numbered steps of [docs/domain.md](../domain.md)
section 4. All tables are over the same actions, which are listed [at the end](#actions), and over the same consumers,
which do not know who drives them.

- An event with a direction beside it is about conversions to that side only; it goes before a row for both.
- A variant's rows stand in for the table's of the same stage, event and direction where the option has that value.
  What a protocol sets by itself, a scenario can set otherwise (`gmemsim show`, section `[protocol]`).
- The diagrams are of the table without variants. Edges are `event / action`; rows that only note an event and stay
  where they are, are left out.
- Message by message: [tests/transcripts/data](../../tests/transcripts/data/README.md).
"""
MARKS_HEAD = """\
## Marks

What `mark` can be: how a page that could not be unmapped is marked, by the letters of
[docs/domain.md](../domain.md) section 4.C'. A flag is found, and a callback heard, by C, C' and C0 alone.

- *names* is what is out of use for ever. hugetlb takes a folio back whole or not at all, so the rest of a huge folio
  with a bad page is lost too (`leaked`, where the folio as a whole is `poisoned`); but where d has split it first, it
  goes back. In folios of 4 KiB b to g do the same.
- *memory* is taken once a bug is met, when nobody has set any aside: what the conversion has reserved is
  guest_memfd's. What e takes is reserved in step 1, so it cannot lack.
- A page flag of a huge folio is lost: its struct pages are optimised away (HVO). Such a page goes back with its file
  (AN11), as one without a mark does.
- A reference cannot be told from one that will go: guest_memfd waits for it (AN9), or the page is lost with nobody
  knowing why (AN10).
- f differs from e only where there is no memory for its node; g from f only in what a touch meets.
"""
MARKS_TABLE = (
    "`mark`",
    "",
    "what it is",
    "guest_memfd",
    "names",
    "memory",
    "in huge folios",
    "a touch meets",
)
HEARD = {Trace.REFERENCE: "waits", Trace.CALLBACK: "is called", Trace.FLAG: "finds it"}
SHORT = {"": "page", NODE: "page; without memory the folio", SPLIT: "page; without memory nothing"}
WANTED = {"": "no", NODE: "a node", SPLIT: "vmemmap, nodes, stash"}
TOUCHED = {False: "a failed fault", True: "EHWPOISON"}
DIRECTIONS = {Share.SHARED: "to shared", Share.PRIVATE: "to private"}
ROW = ("", "in", "on", "do", "whom", "then", "step")


def reference() -> str:
    """The page."""
    return "\n".join([HEAD, *contents(), *protocols(), *marks(), *actions()])


def contents() -> Iterator[str]:
    """What there is, in one table."""
    rows = ((f"[`{name}`](#{name})", found.meaning) for name, found in PROTOCOLS.items())
    yield from table(("protocol", "meaning"), rows)


def protocols() -> Iterator[str]:
    """Each of them: rows, variants, diagrams."""
    for name, found in PROTOCOLS.items():
        yield f"## {name}\n"
        yield f"{found.meaning}.\n"
        own = [f"{option} = {said(option, value)}" for option, value in found.defaults]
        yield f"By itself it sets {codes(own)}.\n" if own else "It sets no option by itself.\n"
        yield f"Anomalies that its definition admits: {admitted(name)}.\n"
        yield from table(ROW, numbered(found.rows))
        for (option, rows), alike in groupby(found.variants, lambda v: (v.option, v.rows)):
            usual = said(option, dict(found.defaults).get(option, getattr(Options(), option)))
            values = (said(option, variant.value) for variant in alike)
            chosen = " or ".join(f"`{option} = {value}`" for value in values)
            yield f"With {chosen} (usually `{usual}`):\n"
            yield from table(ROW[1:], map(cells, rows))
        yield from diagrams(found)


def admitted(protocol: str) -> str:
    """What it admits by itself, and then what takes a setting."""
    found = [check for check in ROWS if protocol in admitting(check)]
    usual = [check for check in found if admits(check, protocol, {})]
    rest = [f"{check} ({by_settings(check, protocol)})" for check in found if check not in usual]
    return ", ".join(usual) + (f"; with a setting {', '.join(rest)}" if rest else "")


def by_settings(check: str, protocol: str) -> str:
    """Any of these opens the cell."""
    found = [when for when in opening(check, protocol) if when and when is not NEVER]
    return " or ".join(f"`{when.text}`" for when in found)


def said(option: str, value: str | bool) -> str:
    """An option's value as scenarios have it: a choice says yes or no where a switch is true or false."""
    if not isinstance(value, bool):
        return value
    known = entries(Protocol)
    choice = option in known and known[option].key.kind == "choice"
    return (("no", "yes") if choice else ("false", "true"))[value]


def numbered(rows: Iterable[Row]) -> Iterator[tuple[str, ...]]:
    """Rows of the table, with their number."""
    return ((str(number), *cells(row)) for number, row in enumerate(rows, 1))


def cells(row: Row) -> tuple[str, ...]:
    """One row."""
    way = "" if row.to is None else f" {DIRECTIONS[row.to]}"
    whom = "all" if row.who == ALL else ", ".join(who.name.lower() for who in row.who)
    return row.stage.name, row.event.name + way, f"`{row.action}`", whom, row.then.name, row.step


def diagrams(found: Table) -> Iterator[str]:
    """One, or one for each direction where they differ."""
    ways = {to: edges(found.by_event(to).values()) for to in DIRECTIONS}
    if ways[Share.SHARED] == ways[Share.PRIVATE]:
        yield from diagram("Either way:", ways[Share.SHARED])
        return
    for to, words in DIRECTIONS.items():
        yield from diagram(f"{words[0].upper()}{words[1:]}:", ways[to])


def edges(rows: Iterable[Row]) -> list[str]:
    """What can be reached, in the order in which it is; each edge once."""
    found = [row for row in rows if row.then is not row.stage or row.action != "note"]
    reached, lines = [Stage.WAITING], []
    for stage in reached:  # it grows on the way
        for row in found:
            if row.stage is stage:
                lines.append(f"{stage.name} --> {row.then.name}: {row.event.name} / {row.action}")
                if row.then not in reached:
                    reached.append(row.then)
    return lines


def diagram(title: str, lines: Iterable[str]) -> Iterator[str]:
    """As GitHub draws it."""
    yield f"{title}\n"
    yield "```mermaid"
    yield "stateDiagram-v2"
    yield "    [*] --> WAITING"
    yield from (f"    {line}" for line in lines)
    yield "    REPLIED --> [*]"
    yield "```\n"


def marks() -> Iterator[str]:
    """Ways to mark a page that could not be unmapped, and what each comes to."""
    yield MARKS_HEAD
    rows = (
        (f"`{name}`", mark.letter, mark.meaning, *properties(mark)) for name, mark in MARKS.items()
    )
    yield from table(MARKS_TABLE, rows)


def properties(mark: Mark) -> tuple[str, ...]:
    """Of a mark: what guest_memfd hears, what is named, what it takes, whether HVO spares it, what a touch meets."""
    if mark.trace is Trace.NONE:
        return ("is not told", "nothing", "no", "-", "nothing")
    named = "folio" if mark.whole else SHORT[mark.takes]
    return (
        HEARD[mark.trace],
        named,
        WANTED[mark.takes],
        "yes" if mark.survives else "no",
        TOUCHED[mark.fails],
    )


def actions() -> Iterator[str]:
    """What each action does, in its own words."""
    yield "## Actions\n"
    rows = ((f"`{name}`", summary(action.__doc__)) for name, action in ACTIONS.items())
    yield from table(("action", "what guest_memfd does"), rows)


def summary(doc: str | None) -> str:
    """A docstring's first sentence or paragraph."""
    first = (doc or "").strip().split("\n\n")[0]
    return " ".join(first.split())


if __name__ == "__main__":
    print(reference(), end="")
