"""An open loop of a program that would wait for answers: the same jobs, each at a time of its own."""

from cluster.draws import UNITS, block
from workloads.loads.load import Job, Program

SECOND_NS = 1_000_000_000


class Slotted:
    """The main lanes' n-th job is due at a random instant of the lane's n-th slot, as of kind churn.

    Side lanes do as before. Nobody waits for the last job, so the end of the program is no end of a boot.
    """

    timed = True
    boots = False

    def __init__(self, program: Program, rate: float, key: bytes) -> None:
        self.program = program
        self.lanes, self.sides = program.lanes, program.sides
        self.one_sequence = program.one_sequence
        self.main = self.lanes - self.sides
        self.slot = self.main * SECOND_NS / rate
        self.key = key

    def job(self, lane: int, step: int) -> Job | None:
        """See workloads.loads.load.Program."""
        job = self.program.job(lane, step)
        if job is None or lane >= self.main:
            return job
        instant = block(self.key, step * self.main + lane)[0] / UNITS
        return job._replace(wait=round((step + instant) * self.slot))
