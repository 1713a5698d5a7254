"""What a request leaves behind: its answer, the checks that fired, and every map that is not as it was."""

from collections.abc import Callable, Iterator
from typing import Any

from actors.contract import ERRNO, Reason, Share
from actors.observations import Answered
from actors.tdx.entries import LEVEL_SHIFT, STATE_MASK
from actors.tdx.states import Entry
from tests.helpers import World, runs
from workloads.checkers import ANOMALIES, INVARIANTS

Runs = list[tuple[int, int]]
MEANINGS = {check.id: check.name for check in (*INVARIANTS, *ANOMALIES)}


def level(value: int) -> str:
    """Of a page table entry."""
    return ("none", "4K", "2M", "1G")[value]


def entry(value: int) -> str:
    """Of the secure EPT."""
    state, size = Entry(value & STATE_MASK), value >> LEVEL_SHIFT
    return f"{state.name} {level(size)}" if state else state.name


def order(value: int) -> str:
    """Of a folio."""
    return {-1: "none", 0: "4K", 9: "2M", 18: "1G"}[value]


def yes(value: int) -> str:
    """There, or not."""
    return ("no", "yes")[value]


SHOWN: dict[str, tuple[str, Callable[[int], str]]] = {
    "share": ("shareability", lambda value: Share(value).name),
    "folios": ("folios", order),
    "stash": ("stash", yes),
    "poison": ("poison", yes),
    "kept": ("reference that stays", yes),
    "sept": ("S-EPT", entry),
    "shared_ept": ("shared EPT", level),
    "shared_ept.1": ("shared EPT of file 1", level),
    "accepted": ("accepted by the guest", yes),
    "ptes": ("host PTEs", yes),
    "iommu": ("IOMMU", level),
    "bitmap": ("VMM's bitmap", lambda value: Share(value).name),
}
GONE = ("poison", "kept")  # of a VM that is gone with its tables, these are worth a look


def maps(world: World) -> dict[str, Runs]:
    """What can be left, by name."""
    gmem = world.gmem()
    found = {**world.maps(), "kept": runs(gmem.kept), "stash": runs(gmem.stash)}
    return {name: found[name] for name in (*SHOWN, "free_frames") if name in found}


class Remains:
    """Taken before the request; told afterwards."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.maps = maps(world)
        self.free = world.allocator().free
        self.found = world.found
        self.answers = len(world.answers)
        self.facts = len(world.notebook.facts)

    @property
    def reason(self) -> Reason | None:
        """The answer; None if there is none."""
        answers = self.world.answers[self.answers :]
        return answers[0].reason if answers else None

    @property
    def fired(self) -> list[str]:
        """Ids of the checks that did, anomalies first."""
        return sorted(self.world.found - self.found, key=lambda name: (name[:2] != "AN", name))

    def answered(self) -> str:
        """What the VMM made of the requests: of one by the guest itself with its offset, of a MapGPA's one by one."""
        facts = [fact for _, fact in self.world.notebook.facts[self.facts :]]
        reasons = [fact.reason for fact in facts if isinstance(fact, Answered)]
        told = ", ".join(ERRNO[reason] if reason else "success" for reason in reasons)
        offsets = [found.offset for found in self.world.answers[self.answers :]]
        where = f" at {offsets[0]:#x}" if offsets and offsets[0] >= 0 else ""
        return f"{told}{where}" if told else "none, ever"

    def told(self) -> list[str]:
        """Line by line."""
        fired = ", ".join(f"{name} ({MEANINGS[name]})" for name in self.fired)
        lines = [f"Answer: {self.answered()}", f"Checks: {fired or 'none'}"]
        after = maps(self.world)
        gone = self.world.gmem().torn_down
        for name in GONE if gone else [name for name in SHOWN if name in after]:
            title, show = SHOWN[name]
            for start, end, was, now in differing(self.maps[name], after[name]):
                lines.append(f"{title:21} {start:#x}..{end:#x}  {show(was)} -> {show(now)}")
        if gone:
            freed = [(s, e) for s, e, _, now in differing([(0, 0)], after["free_frames"]) if now]
            lines.append("frames free again     " + ", ".join(f"{s:#x}..{e:#x}" for s, e in freed))
        pages = self.world.allocator().free - self.free
        return lines + ([f"host's page pool      {pages:+d} pages"] if pages else [])


def differing(before: Runs, after: Runs) -> Iterator[tuple[int, int, int, int]]:
    """(start, end, was, now) wherever two maps differ."""
    edges = sorted({start for start, _ in (*before, *after)})
    joined: list[Any] = []
    for start, end in zip(edges, [*edges[1:], edges[-1] + 1], strict=True):
        was, now = value(before, start), value(after, start)
        if was != now and joined and joined[-1][1:] == [start, was, now]:
            joined[-1][1] = end
        elif was != now:
            joined.append([start, end, was, now])
    yield from map(tuple, joined)


def value(found: Runs, page: int) -> int:
    """Of the run that the page is in."""
    return [value for start, value in found if start <= page][-1]
