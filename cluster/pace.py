"""Wall time and the driver: simulated time can be tied to it, so that no event is handled before its time has come."""

import time

from cluster.partition import FOREVER

TICK_SECONDS = (
    0.05  # of sleep at a time, so that Ctrl-C is prompt; events of a tick are handled together
)


class Pace:
    """`rate` is ns of simulated time for each wall second; 0: as fast as it can.

    `yield_after` is the wall seconds after which a partition that does not wait for others reports.
    """

    def __init__(self, yield_after: float, rate: int = 0) -> None:
        self.yield_after = yield_after
        self.rate = rate
        self.begin(0)

    def begin(self, now: int) -> None:
        """The run stands at `now` ns."""
        self._now, self._began = now, time.perf_counter()

    @property
    def order_seconds(self) -> float:
        """How long an order takes, about."""
        return min(self.yield_after, TICK_SECONDS) if self.rate else self.yield_after

    def horizon(self) -> int:
        """The time of all events before it has come, ns."""
        if not self.rate:
            return FOREVER
        return self._now + int((time.perf_counter() - self._began) * self.rate)

    def rest(self, since: float) -> None:
        """Until a tick has passed since then, in terms of time.perf_counter."""
        if self.rate:
            time.sleep(max(0.0, since + TICK_SECONDS - time.perf_counter()))

    def behind(self, at: int) -> float:
        """For how many wall seconds the time of `at` has been there."""
        return max(0, self.horizon() - at) / self.rate if self.rate else 0.0
