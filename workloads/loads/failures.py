"""Churn, while frames of the host's memory fail behind the guest's (docs/domain.md section 3.3, memory failure)."""

from actors import messages as m
from actors.address import GMEM
from actors.contract import Share
from cluster.draws import block, key_of
from workloads.loads.draws import below, exponential
from workloads.loads.load import Job, Post
from workloads.loads.pace import is_open
from workloads.loads.programs import churn_beside
from workloads.scenario import MemoryFailures

SECOND_NS = 1_000_000_000


class MemoryFailureProgram:
    """The last lane has pages anywhere in memory fail, one at a time."""

    one_sequence = boots = False
    sides = 1

    def __init__(self, load: MemoryFailures, pages: int, seed: int, vm: int) -> None:
        self.load = load
        self.timed = is_open(load)
        self.churn = churn_beside(load, pages, seed, vm)
        self.lanes = self.churn.lanes + 1
        self.pages = pages
        self.file = vm | GMEM
        self.key = key_of(seed, "memory-failure", vm)

    def job(self, lane: int, step: int) -> Job | None:
        """See workloads.loads.load.Program."""
        if lane < self.churn.lanes:
            return self.churn.job(lane, step)
        wait, high, low = block(self.key, step)[:3]
        page = below(self.pages, high, low)  # of the VM's one file, whose pages are its gfns
        pause = round(exponential(SECOND_NS / self.load.rate, wait))
        post = Post(self.file, m.MemoryFailure(page))
        return Job(pause, page, page + 1, Share.PRIVATE, post=post)
