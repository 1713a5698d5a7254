"""Who moves when: draws for the controller of a fleet."""

import math

from cluster.draws import key_of, uniform
from workloads.scenario import Scenario

SECOND_NS = 1_000_000_000


class Drawn:
    """A Poisson process over the whole fleet, each time somebody else. Where hosts are evacuated, nobody by chance."""

    def __init__(self, scenario: Scenario) -> None:
        how = scenario.moves
        self.gap = SECOND_NS / how.rate if how.kind == "poisson" else 0.0
        self.key = key_of(scenario.scenario.seed, "moves")

    def wait(self, number: int) -> int | None:
        """See actors.fleet.moving_controller.Moves."""
        if not self.gap:
            return None
        return round(-self.gap * math.log1p(-uniform(self.key, 2 * number)))

    def pick(self, number: int, of: int) -> int:
        """See actors.fleet.moving_controller.Moves."""
        return int(uniform(self.key, 2 * number + 1) * of)
