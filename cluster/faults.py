"""The fault plan: where, when, how often and to whom injected failures happen; chance is drawn by opportunity."""

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence

import msgspec

from actors.address import host_of, vm_of
from actors.contract import VM_KEY_SHIFT, Fault, Place, Reason, page_of
from cluster.draws import key_of, uniform
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

    def covers(self, now: int, vm: int) -> bool:
        """Is the rule in force now, for the VM with this base address?"""
        return (
            self.start <= now
            and (not self.until or now < self.until)
            and (not self.hosts or host_of(vm) in self.hosts)
            and (not self.vms or vm_of(vm) in self.vms)
        )

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
    """A rule at one point, with its key and class, and what it remembers of each VM (by base address).

    At the points of `also` the rule only follows: `until` is the one of its own point.
    """

    __slots__ = ("follows", "number", "over", "plain", "reason", "rule", "scheduled", "secret", "until")  # fmt: skip

    def __init__(self, number: int, rule: FaultRule, secret: bytes) -> None:
        self.number = number
        self.rule = rule
        self.secret = secret
        self.reason = rule.reason or FAULT_POINTS[rule.point].reason
        self.scheduled = bool(rule.nth or rule.every)
        self.plain = (
            not self.scheduled and not rule.lasts and not rule.pages
        )  # chance alone decides
        self.follows = False
        self.over: Counter[int] = Counter()  # opportunities that were covered
        self.until: dict[int, int] = {}  # ns until which all that is covered fails

    def follower(self, point: str) -> "Armed":
        """The same rule where it only lasts."""
        found = Armed(self.number, self.rule, self.secret)
        found.reason = self.rule.reason or FAULT_POINTS[point].reason
        found.follows, found.until = True, self.until
        return found

    def first(self, vm: int, key: int, now: int) -> int:
        """How many of the opportunities that are covered come before the one that fails."""
        if self.rule.lasts and now < self.until.get(vm, 0):
            return 0
        if self.follows:
            return NEVER
        if self.scheduled:
            return self.rule.due(self.over[vm])
        return first_failure(uniform(self.secret, key), self.rule.probability)

    def remember(self, vm: int, now: int, first: int, tried: int) -> None:
        """`tried` of the opportunities that are covered have come, and the rule wanted to strike after `first`."""
        if self.follows:
            return
        self.over[vm] += tried
        if first < tried and self.rule.lasts and now >= self.until.get(vm, 0):
            self.until[vm] = now + self.rule.lasts


class FaultPlan:
    """Decides `choose`: the same seed and opportunity always meet the same fate, as far as chance goes.

    Schedules count the opportunities of one VM at one point, in the VM's own order: also the same on every executor.
    """

    def __init__(self, seed: int, rules: Iterable[FaultRule]) -> None:
        self.armed: dict[str, list[Armed]] = {}  # a point that is not in it never strikes
        self.rules: list[Armed] = []  # each at its own point
        met = Counter[str]()
        for number, rule in enumerate(rules):
            secret = key_of(seed, "fault", rule.point, met[rule.point])
            met[rule.point] += 1
            if rule.probability:
                armed = Armed(number, rule, secret)
                self.rules.append(armed)
                self.armed.setdefault(rule.point, []).append(armed)
                for point in rule.also:
                    self.armed.setdefault(point, []).append(armed.follower(point))

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
        struck, reason, asked = count, Reason.NONE, []
        for armed in self.armed.get(point, ()):
            rule = armed.rule
            if not rule.covers(now, vm):
                continue
            if armed.plain:
                draw = uniform(armed.secret, key)
                if draw < LIKELIEST * struck * rule.probability:
                    first = first_failure(draw, rule.probability)
                    if first < struck:
                        struck, reason = first, armed.reason
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
                struck, reason = covered[first], armed.reason
            asked.append((armed, first, covered))
        for armed, first, covered in asked:
            # What comes after the failure is not tried: whoever goes on asks again.
            armed.remember(vm, now, first, bisect_right(covered, struck))
        return Fault(reason, struck) if struck < count else None

    def together(self) -> list[tuple[str, ...]]:
        """Points at which a rule remembers what it did: whoever asks there has to share the plan."""
        return [(armed.rule.point, *armed.rule.also) for armed in self.rules if not armed.plain]

    def snapshot(self) -> list[list[int]]:
        """What a checkpoint needs: (rule, VM's base address, opportunities over, fails until in ns), in order.

        Rules are numbered as they were given. Rows of several partitions can be joined, or picked by VM.
        """
        return sorted(
            [armed.number, vm, over, armed.until.get(vm, 0)]
            for armed in self.rules
            for vm, over in armed.over.items()
        )

    def restore(self, rows: Iterable[Sequence[int]]) -> None:
        """Remember what a snapshot says, and nothing else. The plan must have the same rules."""
        numbered = {armed.number: armed for armed in self.rules}
        for armed in self.rules:
            armed.over.clear()
            armed.until.clear()  # followers have it too
        for number, vm, over, until in rows:
            numbered[number].over[vm] = over
            if until:
                numbered[number].until[vm] = until


def first_failure(draw: float, probability: float) -> int:
    """Index of the first failure in endless independent tries (geometric), from one uniform draw."""
    if probability >= 1:
        return 0
    return int(math.log1p(-draw) / math.log1p(-probability))
