"""Seeds into scenarios, scenarios into a pool, and what comes back: counted, checked again, made small."""

import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec

from workloads.pool import Pool
from workloads.scenario import Scenario
from workloads.swarm import trial
from workloads.swarm.again import differs
from workloads.swarm.generate import generate
from workloads.swarm.shrink import shrink
from workloads.swarm.trial import Failure, Found, Trial

TRIES_MAX = 300  # runs that making one failure small may take,
SECONDS_MAX = 60.0  # and wall time


class Limits(NamedTuple):
    """`runs` 0 are without end; every `again`-th seed is run again, 0 none; `hang` are wall seconds."""

    first: int
    runs: int
    again: int
    hang: float


@dataclass
class Failing:
    """A seed that fails: its scenario, and the smallest that fails so. `like` is a seed that had failed so before."""

    seed: int
    failure: Failure
    scenario: Scenario
    small: Scenario | None = None
    like: int = 0


Again = Callable[[Scenario, Found, int], Failure | None]
"""(scenario, what came of it, a number) -> how another run of it came to something else."""


@dataclass
class Swarm:
    """One swarm. What has been found so far is there at any time, also to `asked`, who says when it is to end."""

    limits: Limits
    again: Again
    found: dict[int, Found] = field(default_factory=dict)
    failing: list[Failing] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    checked: int = 0
    running: dict[int, Scenario] = field(default_factory=dict)
    small: tuple[int, int] = (
        0,
        0,
    )  # the seed that is being made small, and after how many runs; no seed: 0
    asked: Callable[[], bool] = lambda: False

    def run(self, pool: Pool, asked: Callable[[], bool], keep: Callable[[Failing], None]) -> None:
        """Until all seeds have been run, or it is asked to end. `keep` is given each failure when it is small."""
        self.asked = asked
        seeds = self.seeds()
        while not asked():
            for seed in itertools.islice(seeds, pool.size - len(pool)):
                self.running[seed] = scenario = generate(seed)
                pool.start(str(seed), trial.packed(scenario, self.limits.hang))
            if not len(pool):
                return
            for name, found, lost in pool.finished():
                seed, scenario = int(name), self.running.pop(int(name))
                if found is None:
                    self.lost.append(f"seed {seed}: {lost}")
                else:
                    self.take(seed, scenario, msgspec.json.decode(found, type=Found), keep)

    def seeds(self) -> Iterator[int]:
        """In order."""
        first, runs = self.limits.first, self.limits.runs
        return iter(range(first, first + runs)) if runs else itertools.count(first)

    def take(
        self, seed: int, scenario: Scenario, found: Found, keep: Callable[[Failing], None]
    ) -> None:
        """A run is over."""
        self.found[seed] = found
        every = self.limits.again
        if every and seed % every == 0 and found.digest:
            self.checked += 1
            other = self.again(scenario, found, seed // every)
            if other and not found.failure:
                found.failure = other
        if found.failure:
            failing = Failing(seed, found.failure, scenario)
            before = (one for one in self.failing if one.failure.like(found.failure))
            failing.like = next((one.seed for one in before if not one.like), 0)
            self.failing.append(failing)
            if not failing.like:
                self.make_small(failing)
                keep(failing)

    def make_small(self, failing: Failing) -> None:
        """By running it in this process; what has hung is given little time to do so again."""
        if failing.failure.kind == "digest":
            return
        limit = min(self.limits.hang, 10.0)
        until = time.monotonic() + SECONDS_MAX
        self.small = failing.seed, 0

        def fails(scenario: Scenario) -> bool:
            if time.monotonic() > until or self.asked():
                return False
            self.small = failing.seed, self.small[1] + 1
            found = trial.tried(Trial(trial.plain(scenario), limit))
            return found is not None and failing.failure.like(found.failure)

        tries = 20 if failing.failure.kind == "hang" else TRIES_MAX
        failing.small = shrink(failing.scenario, fails, tries)
        found = trial.tried(Trial(trial.plain(failing.small), limit))
        if found and found.failure:
            failing.failure = msgspec.structs.replace(failing.failure, lines=found.failure.lines)
        self.small = 0, 0


def again_on(executor: str, address: str | None) -> Again:
    """See workloads.swarm.again."""

    def again(scenario: Scenario, found: Found, turn: int) -> Failure | None:
        return differs(scenario, found, executor, address, turn)

    return again
