"""The fault plan: where, when, how often and to whom injected failures happen; chance is drawn by opportunity."""

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence

import msgspec

from actors.address import host_of, vm_of
from actors.contract import VM_KEY_SHIFT, Fault, Place, Reason, page_of
from cluster.draws import Uniform, key_of
from cluster.fault_points import FAULT_POINTS, FaultPoint

__all__ = ["FAULT_POINTS", "FaultPlan", "FaultPoint", "FaultRule"]

NEVER = 1 << 62  # more opportunities than there are
LIKELIEST = 1.001  # n tries fail with a chance of n times one's at most; the rest is for rounding


class FaultRule(msgspec.Struct, frozen=True, array_like=True):
    """One entry of the plan. Times are simulated ns, `until` 0 is the end; empty hosts, vms and pages mean all.

    An opportunity is covered when it lies in the window and the scope. Of those covered in one VM, `nth` (ascending,
    from 1) and `every` name the ones that strike; where neither is given `probability` decides. Once the rule has
    struck a VM, all that it covers there fails for `lasts` ns, at the points of `also` too. `reason` NONE is the class
    that is a point's own.
    """

    point: str
    probability: float = 1.0
    start: int = 0
    until: int = 0
    hosts: tuple[int, ...] = ()
    vms: tuple[int, ...] = ()
    pages: tuple[int, ...] = ()  # first gfn, and the one after the last
    nth: tuple[int, ...] = ()
    every: int = 0
    lasts: int = 0
    reason: Reason = Reason.NONE
    also: tuple[str, ...] = ()
    places: int = (
        0  # of a host, where VMs come after others: those have the numbers of their places
    )

    def covers(self, now: int, vm: int) -> bool:
        """Is the rule in force now, for the VM with this base address?"""
        return (
            self.start <= now
            and (not self.until or now < self.until)
            and (not self.hosts or host_of(vm) in self.hosts)
            and (not self.vms or self.place_of(vm) in self.vms)
        )

    def place_of(self, vm: int) -> int:
        """The VM's number, or that of the one whose place it has."""
        return vm_of(vm) % self.places if self.places else vm_of(vm)

    def within(self, first: int, span: int, count: int) -> range:
        """The same of `count` opportunities of `span` pages each, one after the other from page `first` on."""
        low, high = (edge - first for edge in self.pages)
        begin = max(0, low // span)
        return range(begin, max(begin, min(count, -(-high // span))))

    def inside(self, places: Iterable[Place]) -> Sequence[int]:
        """Which of the opportunities are about memory in the rule's range."""
        first, end = self.pages
        return [n for n, (low, high) in enumerate(places) if low < end and first < high]

    def due(self, over: int) -> int:
        """How many opportunities come before the next one that the schedule names, when `over` are over."""
        if self.every:
            return self.every - over % self.every - 1
        place = bisect_right(self.nth, over)
        return self.nth[place] - over - 1 if place < len(self.nth) else NEVER


class Armed:
    """A rule at one point, with its draws and class, and what it remembers of each VM (by base address).

    `place` is 0 at the rule's own point. At the points of `also`, counted from 1, it only follows: `until` is the one
    of its own point, and there are no opportunities but while it lasts.
    """

    __slots__ = (
        "draw", "number", "over", "place", "plain", "reason", "rule", "scheduled", "struck",
        "until",
    )  # fmt: skip

    def __init__(self, number: int, rule: FaultRule, draw: Uniform) -> None:
        self.number = number
        self.place = 0
        self.rule = rule
        self.draw = draw
        self.reason = rule.reason or FAULT_POINTS[rule.point].reason
        self.scheduled = bool(rule.nth or rule.every)
        self.plain = (
            not self.scheduled and not rule.lasts and not rule.pages
        )  # chance alone decides
        self.over: Counter[int] = Counter()  # opportunities that were covered
        self.struck: Counter[int] = Counter()  # those that failed by this rule
        self.until: dict[int, int] = {}  # ns until which all that is covered fails

    def follower(self, place: int, point: str) -> "Armed":
        """The same rule where it only lasts."""
        found = Armed(self.number, self.rule, self.draw)
        found.reason = self.rule.reason or FAULT_POINTS[point].reason
        found.place, found.until = place, self.until
        return found

    def first(self, vm: int, key: int, now: int) -> int:
        """How many of the opportunities that are covered come before the one that fails."""
        if self.rule.lasts and now < self.until.get(vm, 0):
            return 0
        if self.place:
            return NEVER
        if self.scheduled:
            return self.rule.due(self.over[vm])
        return first_failure(self.draw(key), self.rule.probability)

    def remember(self, vm: int, now: int, first: int, tried: int) -> None:
        """`tried` of the opportunities that are covered have come, and the rule wanted to strike after `first`."""
        if self.place and first:  # it does not last now
            return
        self.over[vm] += tried
        if not self.place and first < tried and self.rule.lasts and now >= self.until.get(vm, 0):
            self.until[vm] = now + self.rule.lasts


class FaultPlan:
    """Decides `choose`: the same seed and opportunity always meet the same fate, as far as chance goes.

    Schedules count the opportunities of one VM at one point, in the VM's own order: also the same on every executor.
    """

    def __init__(self, seed: int, rules: Iterable[FaultRule]) -> None:
        self.armed: dict[str, list[Armed]] = {}  # a point that is not in it never strikes
        self.rules: list[Armed] = []  # each at all of its points
        met = Counter[str]()
        for number, rule in enumerate(rules):
            draw = Uniform(key_of(seed, "fault", rule.point, met[rule.point]))
            met[rule.point] += 1
            if rule.probability:
                own = Armed(number, rule, draw)
                self.arm(rule.point, own)
                for place, point in enumerate(rule.also, start=1):
                    self.arm(point, own.follower(place, point))

    def arm(self, point: str, armed: Armed) -> None:
        """From now on the rule decides here."""
        self.rules.append(armed)
        self.armed.setdefault(point, []).append(armed)

    def choose(
        self,
        point: str,
        count: int,
        key: int,
        now: int,
        span: int = 1,
        places: Iterable[Place] | None = None,
    ) -> Fault | None:
        """The first of `count` opportunities that fails, by the rules in force (see actors.contract.Context)."""
        vm = key >> VM_KEY_SHIFT
        where: Sequence[Place] = ()
        struck = count
        by: Armed | None = None
        plain: list[Armed] = []
        asked: list[tuple[Armed, int, Sequence[int]]] = []
        for armed in self.armed.get(point, ()):
            rule = armed.rule
            if not rule.covers(now, vm):
                continue
            if armed.plain:
                draw = armed.draw(key)
                if draw < LIKELIEST * struck * rule.probability:
                    first = first_failure(draw, rule.probability)
                    if first < struck:
                        struck, by = first, armed
                plain.append(armed)
                continue
            covered: Sequence[int] = range(count)
            if rule.pages:
                if places is None:
                    covered = rule.within(page_of(key), span, count)
                else:
                    where = where or tuple(places)
                    covered = rule.inside(where)
                if not covered:
                    continue
            first = armed.first(vm, key, now)
            if first < len(covered) and covered[first] < struck:
                struck, by = covered[first], armed
            asked.append((armed, first, covered))
        for armed, first, covered in asked:
            # What comes after the failure is not tried: whoever goes on asks again.
            armed.remember(vm, now, first, bisect_right(covered, struck))
        for armed in plain:
            armed.over[vm] += min(count, struck + 1)
        if by is None:
            return None
        by.struck[vm] += 1
        return Fault(by.reason, struck)

    def counts(self) -> list[list[int]]:
        """How often each rule struck: (rule, place of the point, opportunities, struck), over all VMs.

        An opportunity that several rules want to fail is struck by the first of them. Counts of partitions add up.
        """
        return [
            [armed.number, armed.place, armed.over.total(), armed.struck.total()]
            for armed in self.rules
        ]

    def together(self) -> list[tuple[str, ...]]:
        """Points at which a rule remembers what it did: whoever asks there has to share the plan."""
        return [
            (armed.rule.point, *armed.rule.also)
            for armed in self.rules
            if not (armed.plain or armed.place)
        ]

    def snapshot(self) -> list[list[int]]:
        """What a checkpoint needs: (rule, place, VM's base, opportunities, struck, fails until in ns), in order.

        Rules are numbered as they were given. Rows of several partitions can be joined, or picked by VM.
        """
        return sorted(
            [armed.number, armed.place, vm, over, armed.struck[vm], armed.until.get(vm, 0)]
            for armed in self.rules
            for vm, over in armed.over.items()
        )

    def restore(self, rows: Iterable[Sequence[int]]) -> None:
        """Remember what a snapshot says, and nothing else. The plan must have the same rules."""
        placed = {(armed.number, armed.place): armed for armed in self.rules}
        for armed in self.rules:
            armed.over.clear()
            armed.struck.clear()
            armed.until.clear()
        for number, place, vm, over, struck, until in rows:
            armed = placed[number, place]
            armed.over[vm] = over
            if struck:
                armed.struck[vm] = struck
            if until:
                armed.until[vm] = until  # followers have the same


def first_failure(draw: float, probability: float) -> int:
    """Index of the first failure in endless independent tries (geometric), from one uniform draw."""
    if probability >= 1:
        return 0
    return int(math.log1p(-draw) / math.log1p(-probability))
