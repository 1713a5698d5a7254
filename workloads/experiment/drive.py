"""Points into runs, runs into a pool, and what comes back to whoever waits for it."""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from workloads import cost_table, one_run
from workloads.errors import UsageError
from workloads.experiment.clashes import SEED, varies_seed
from workloads.experiment.points import Point, combinations, scenario_of
from workloads.experiment.pursuit import Pursuit
from workloads.experiment.records import Experiment, Search
from workloads.experiment.store import Store
from workloads.experiment.wanted import nowhere, refused
from workloads.pool import Pool
from workloads.scenario import Scenario
from workloads.scenario.read import Origin
from workloads.session import seeds_of, with_seed
from workloads.wording import printable

Summary = dict[str, Any]


@dataclass
class Counts:
    """`points` are those that are known to be wanted, `done` those with all seeds run, `reused` those of them that
    nothing had to be run for. `runs` are of points and seeds; two points that are the same run share it."""

    points: int = 0
    done: int = 0
    reused: int = 0
    runs: int = 0
    runs_done: int = 0
    runs_reused: int = 0


@dataclass
class Wanted:
    """A point that is waited for; `fresh` once one of its runs was not there before."""

    pursuit: Pursuit
    point: Point
    keys: list[str]
    missing: set[str] = field(default_factory=set)
    fresh: bool = False


class Drive:
    """One sweep. `lost` says what became of runs that took their workers with them, point by point."""

    def __init__(
        self, experiment: Experiment, seeds: int, store: Store, tell: Callable[[Counts], None]
    ) -> None:
        self.experiment = experiment
        self.seeds = seeds
        self.store = store
        self.tell = tell
        self.counts = Counts()
        self.lost: list[str] = []
        self.changed: dict[str, dict[str, Any]] = {}
        self.queue: deque[tuple[str, bytes]] = deque()
        self.waiting: dict[str, list[Wanted]] = {}
        self.summaries: dict[str, Summary] = {}

    def run(self, pursuits: Iterable[Pursuit], pool: Pool, asked: Callable[[], bool]) -> None:
        """Until all have what they want, or it is asked to end. What is finished is on disk by then."""
        for pursuit in pursuits:
            self.want(pursuit, next(pursuit))
        self.tell(self.counts)
        while (self.queue or len(pool)) and not asked():
            while self.queue and len(pool) < pool.size:
                pool.start(*self.queue.popleft())
            for name, found, lost in pool.finished():
                if found is None:
                    self.lose(name, lost)
                else:
                    self.take(name, found)
            self.tell(self.counts)

    def want(self, pursuit: Pursuit, point: Point) -> None:
        """Have a point run, as far as it has not been; where nothing is missing, go on to the next one."""
        while True:
            wanted = Wanted(pursuit, point, [])
            self.counts.points += 1
            for scenario in self.scenarios(point):
                self.want_run(wanted, scenario)
            if wanted.missing:
                return
            following = self.settle(wanted)
            if following is None:
                return
            point = following

    def scenarios(self, point: Point) -> Iterable[Scenario]:
        """Of its seeds."""
        scenario, changed = scenario_of(self.experiment, point)
        if changed:
            self.changed[point.name] = dict(changed)
        return (with_seed(scenario, seed) for seed in seeds_of(scenario, self.seeds))

    def want_run(self, wanted: Wanted, scenario: Scenario) -> None:
        """One seed of it: from memory, from disk, or from the pool once there is room."""
        key = one_run.key_of(scenario)
        wanted.keys.append(key)
        self.counts.runs += 1
        if key not in self.summaries:
            kept = self.store.get(key) if key not in self.waiting else None
            if kept is None:
                wanted.missing.add(key)
                wanted.fresh = True
                if key not in self.waiting:
                    self.queue.append((key, one_run.packed(scenario)))
                self.waiting.setdefault(key, []).append(wanted)
                return
            self.summaries[key] = kept
        self.counts.runs_done += 1
        self.counts.runs_reused += 1

    def take(self, key: str, found: bytes) -> None:
        """A run is over."""
        self.summaries[key] = self.store.put(key, found)
        for wanted in self.waiting.pop(key):
            self.counts.runs_done += 1
            wanted.missing.discard(key)
            if not wanted.missing:
                following = self.settle(wanted)
                if following is not None:
                    self.want(wanted.pursuit, following)

    def settle(self, wanted: Wanted) -> Point | None:
        """All seeds of a point are there; the point that is wanted next, if any is."""
        self.counts.done += 1
        self.counts.reused += not wanted.fresh
        try:
            return wanted.pursuit.send([self.summaries[key] for key in wanted.keys])
        except StopIteration:
            return None

    def lose(self, key: str, why: str) -> None:
        """A run that cannot be had: whoever waits for it gets no further."""
        for wanted in self.waiting.pop(key):
            self.lost.append(f"{wanted.point.name}: {why}")


def refuse_mistakes(experiment: Experiment, seeds: int) -> None:
    """Whatever can be known to be wrong before anything is run: every combination, at both ends of a search."""
    search, scenarios = experiment.search, list[Scenario]()
    if seeds > 1 and varies_seed(experiment):
        raise UsageError(
            f"{printable(experiment.where)}: {SEED}: found it varied, and {seeds} seeds of each "
            "point beside it; expected 1 seed, or no such axis"
        )
    for point in combinations(experiment.axes):
        for one in at_ends(search, point):
            scenario = scenario_of(experiment, one).scenario
            seeds_of(scenario, seeds)
            refuse_costs(experiment, scenario)
            scenarios.append(scenario)
            for resource, how in experiment.relief.items():
                if how.sets:
                    scenario_of(experiment, Point(one.place, (*one.sets, *how.sets), resource))
    for path, wrong in (*nowhere(experiment, scenarios), *refused(experiment)):
        raise Origin(printable(experiment.where)).wrong(path, wrong)


def at_ends(search: Search | None, point: Point) -> list[Point]:
    """The point, or those of both ends of its search."""
    if not search:
        return [point]
    ends = [int(end) if end == int(end) else end for end in (search.low, search.high)]
    return [point.at(search.title, value, search.key) for value in ends]


def refuse_costs(experiment: Experiment, scenario: Scenario) -> None:
    """Costs that are to be halved, and that its table does not have."""
    costs = cost_table.load(scenario.costs.model, scenario.costs.override)
    known = {cost.name for cost in costs}
    for resource, how in experiment.relief.items():
        for name in how.costs:
            if name not in known:
                raise UsageError(
                    f"{experiment.where}: search.relieve.{resource}: unknown cost {name}; "
                    "gmemsim list costs has all"
                )
