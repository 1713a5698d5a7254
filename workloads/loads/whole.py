"""Programs over memory as a whole: a balloon, a sweep, a shutdown."""

from actors import messages as m
from actors.address import VMM
from actors.contract import PAGE_BYTES, PAGES_2M, Share
from cluster.draws import UNITS, block, key_of
from workloads.loads.draws import below, exponential
from workloads.loads.load import Job, Post
from workloads.loads.pace import is_open
from workloads.loads.programs import ChurnProgram
from workloads.scenario import Balloon, Churn, Shutdown, Sweep

SECOND_NS = 1_000_000_000


class BalloonProgram:
    """Lane 0 inflates block by block and deflates again; churn goes on in the rest of memory.

    Open, the n-th block has the n-th slot, and churn asks until the last block's is over, whatever became of either.
    """

    one_sequence = boots = False

    def __init__(self, load: Balloon, pages: int, seed: int, vm: int) -> None:
        self.load = load
        self.timed = is_open(load)
        self.blocks = max(1, min(load.size // PAGE_BYTES, pages) // PAGES_2M)
        self.start = pages // PAGES_2M * PAGES_2M - self.blocks * PAGES_2M
        self.slot = SECOND_NS / load.rate
        self.over = load.rounds * 2 * self.blocks * self.slot
        churn = min(load.outstanding, self.start)
        pace = Churn(pace=load.pace, rate=load.conversion_rate, outstanding=max(1, churn))
        self.churn = ChurnProgram(pace, max(1, self.start), seed, vm)
        beside = self.churn.lanes if churn else 0
        self.sides = 0 if self.timed else beside
        self.lanes = 1 + beside
        self.key = key_of(seed, "balloon", vm)

    def job(self, lane: int, step: int) -> Job | None:
        """See workloads.loads.load.Program."""
        if lane:
            job = self.churn.job(lane - 1, step)
            return None if job and self.timed and job.wait >= self.over else job
        number, place = divmod(step, 2 * self.blocks)
        if number >= self.load.rounds:
            return None
        draw = block(self.key, step)[0]
        wait = round(
            (step + draw / UNITS) * self.slot if self.timed else exponential(self.slot, draw)
        )
        start = self.start + place % self.blocks * PAGES_2M
        inflate = place < self.blocks
        return Job(wait, start, start + PAGES_2M, Share.PRIVATE, convert=False, give_up=inflate)


class SweepProgram:
    """Lane 0 converts all of memory window by window, there and back; the others write as the guest does."""

    timed = one_sequence = boots = False

    def __init__(self, load: Sweep, pages: int, seed: int, vm: int) -> None:
        self.load = load
        self.pages = pages
        self.window = min(load.window // PAGE_BYTES, pages)
        self.windows = -(-pages // self.window)
        self.sides = load.writers
        self.lanes = 1 + self.sides
        self.write = max(1, load.write_size // PAGE_BYTES)
        self.keys = tuple(key_of(seed, "sweep", vm, lane) for lane in range(self.lanes))

    def job(self, lane: int, step: int) -> Job | None:
        """See workloads.loads.load.Program."""
        if lane:
            return self.writing(lane, step)
        number, window = divmod(step, self.windows)
        if number >= self.load.passes:
            return None
        start = window * self.window
        to = Share.PRIVATE if number % 2 else Share.SHARED
        return Job(0, start, min(start + self.window, self.pages), to)

    def writing(self, lane: int, step: int) -> Job:
        """Somewhere in memory, on the side where the guest has it by then."""
        wait, high, low = block(self.keys[lane], step)[:3]
        start = below(self.pages // self.write, high, low) * self.write
        pause = round(exponential(SECOND_NS * self.sides / self.load.write_rate, wait))
        end = min(start + self.write, self.pages)
        return Job(pause, start, end, Share.SHARED, convert=False, as_is=True)


class ShutdownProgram:
    """The guest shares memory and uses it, takes all of it back as a Linux TD does before kexec, and the VMM exits.

    Open, the VMM does not wait for the guest: who takes long has memory shared, or converts, when it exits.
    """

    lanes = 1
    sides = 0
    one_sequence = boots = False

    def __init__(self, load: Shutdown, pages: int, vm: int) -> None:
        self.load = load
        self.timed = is_open(load)
        self.pages = pages
        self.shared = min(load.shared // PAGE_BYTES, pages)
        self.vmm = vm | VMM

    def job(self, lane: int, step: int) -> Job | None:
        """See workloads.loads.load.Program."""
        first = self.pages - self.shared
        end = self.load.uptime + self.load.grace if self.timed else 0
        leave = Post(self.vmm, m.Exit())
        jobs = (
            Job(0, first, self.pages, Share.SHARED, use=True),
            Job(self.load.uptime, first, self.pages, Share.PRIVATE),
            Job(end, first, self.pages, Share.PRIVATE, convert=False, post=leave),
        )
        return jobs[step] if step < len(jobs) else None
