"""The reference model, whoever runs it: its parameters, and draws by seed, who and number alone.

128 VMs on 16 hosts think and convert: PREPARE to three consumers at once, then COMMIT, or ABORT for
one in a hundred. A conversion is 25 messages. Nothing here depends on an engine, so that all sides
do the same work and come to the same sums.
"""

import math
from typing import NamedTuple

import msgspec

from cluster.costs import Cost, CostModel
from cluster.draws import UNITS, block, key_of

LINK = 1
THINK_NS = 1_000_000
ABORTS = UNITS // 100
MESSAGES = 25
DRAWS = 32
# A cost of an exponential distribution comes to the engine as the lognormal of its two moments.
EXPONENTIAL = math.sqrt(math.log(2))
COSTS = (
    Cost("iommu", 5_000.0, EXPONENTIAL),
    Cost("link", float(LINK), 0.0),
    Cost("tdx", 20_000.0, EXPONENTIAL),
    Cost("userspace", 2_000.0, 0.0),
)
USERSPACE_NS = 2_000


class Shape(msgspec.Struct, frozen=True):
    """How much of the model there is; `conversions` are those of each VM."""

    seed: int = 1
    hosts: int = 16
    vms: int = 8
    conversions: int = 300


class Tally(NamedTuple):
    """What all sides agree on: conversions, aborted ones, the sum of all completion times."""

    conversions: int
    aborted: int
    completed_ns: int


class Cycle(NamedTuple):
    """One conversion's draws."""

    think: int
    commit: bool


def cost_model() -> CostModel:
    """The durations."""
    return CostModel({cost.name: cost for cost in COSTS})


def cycles(seed: int, vm: int, count: int) -> tuple[Cycle, ...]:
    """All that a VM is going to do, drawn before the clock starts: no engine's affair."""
    key = key_of(seed, "reference", vm)
    return tuple(cycle(key, number) for number in range(count))


def cycle(key: bytes, number: int) -> Cycle:
    """How long a VM thinks before its conversion of this number, and whether that commits."""
    think, fate = block(key, number)[:2]
    wait = round(-THINK_NS * math.log1p(-(think + 0.5) / UNITS))
    return Cycle(wait, fate >= ABORTS)


def until_own(at: int, vm: int, vms: int) -> int:
    """ns from `at` to the VM's own nanosecond: one in `vms`.

    VMs address their host's servers in nanoseconds of their own alone. So no two requests ever meet
    at a server in one nanosecond, and no engine's rule for such a tie can change the sums.
    """
    return (vm - at) % vms


class Server:
    """One server, first come first served, for SimPy's sides: the engine's draws, by number."""

    __slots__ = ("cost", "costs", "drawn", "draws", "free", "key")

    def __init__(self, name: str, seed: int, address: int, costs: CostModel) -> None:
        self.costs = costs
        self.cost = costs.costs[name]
        self.key = key_of(seed, "cost", address)
        self.draws: tuple[int, ...] = ()
        self.drawn = 0
        self.free = 0

    def work(self) -> int:
        """ns that the next request takes."""
        left = self.drawn % DRAWS
        if not left:
            self.draws = block(self.key, self.drawn // DRAWS)
        self.drawn += 1
        return self.costs.duration(self.cost, 1, self.draws[left])

    def serve(self, now: int) -> int:
        """ns until a request that arrives now is done."""
        self.free = max(now, self.free) + self.work()
        return self.free - now
