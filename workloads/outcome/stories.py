"""How findings came about, each story told once: what one conversion does can be several findings."""

from collections.abc import Iterable, Iterator, Sequence

from workloads.outcome.figures import duration
from workloads.outcome.files import FindingLine
from workloads.outcome.html import folded


def stories(findings: Iterable[FindingLine]) -> Iterator[str]:
    """A block for each story, with all that was found by it in its last lines."""
    by_facts: dict[tuple[str, ...], list[FindingLine]] = {}
    for finding in findings:
        if finding.story:
            *facts, _ = finding.story
            by_facts.setdefault((finding.vm, *facts), []).append(finding)
    for (vm, *facts), found in by_facts.items():
        yield told(vm, facts, found)


def told(vm: str, facts: Sequence[str], found: Sequence[FindingLine]) -> str:
    """The facts, then what each finding makes of them, then the command that shows it again."""
    names = ", ".join(dict.fromkeys(one.id for one in found))
    ends = dict.fromkeys(one.story[-1] for one in found)
    again = dict.fromkeys(f"again: {one.replay}" for one in found if one.replay)
    lines = [*facts, *ends, *(("", *again) if again else ())]
    return folded(f"How {names} came about in {vm}, {duration(found[0].time_seconds)}", lines)
