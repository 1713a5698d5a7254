"""How findings came about, each story told once: what one conversion does can be several findings."""

from collections.abc import Iterable, Iterator, Sequence

from workloads.outcome.figures import duration
from workloads.outcome.files import FindingLine
from workloads.outcome.html import folded
from workloads.outcome.tally import meaning


def stories(findings: Iterable[FindingLine], of: str = "") -> Iterator[str]:
    """A block for each story, with all that was found by it in its last lines; `of` is told first."""
    by_facts: dict[tuple[str, ...], list[FindingLine]] = {}
    for finding in findings:
        if finding.story:
            *facts, _ = finding.story
            by_facts.setdefault((finding.vm, *facts), []).append(finding)
    for (vm, *facts), found in by_facts.items():
        yield told(of, vm, facts, found)


def told(of: str, vm: str, facts: Sequence[str], found: Sequence[FindingLine]) -> str:
    """The facts, then what each finding makes of them, then the command that shows it again."""
    names = ", ".join(f"{name} ({meaning(name)})" for name in dict.fromkeys(f.id for f in found))
    ends = dict.fromkeys(one.story[-1] for one in found)
    again = dict.fromkeys(f"again: {one.replay}" for one in found if one.replay)
    lines = [*facts, *ends, *(("", *again) if again else ())]
    return folded(f"{of}How {names} came about in {vm}, {duration(found[0].time_seconds)}", lines)
