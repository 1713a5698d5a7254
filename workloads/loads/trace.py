"""A trace as a program: records come in pages from the driver, and only those in use are held."""

from collections.abc import Sequence

from actors.contract import PAGE_BYTES, Share
from cluster.partition import EVENTS_AT_A_TIME
from workloads.loads.load import Job
from workloads.loads.pace import is_open
from workloads.plan import LogShape
from workloads.scenario import Trace
from workloads.trace.spool import RECORD

PAGE_RECORDS = 2048
LANES_MAX = PAGE_RECORDS // 2  # no guest has more vCPUs to convert with
SECOND_NS = 1_000_000_000


class TraceProgram:
    """Conversions of one log for one VM. It is the feed of its own records too (cluster.world.Feed)."""

    one_sequence = True
    boots = False
    sides = 0

    def __init__(self, load: Trace, log: LogShape) -> None:
        self.source = log.source
        self.records = records = log.conversions
        self.timed = is_open(load, log)
        self.lanes = 1 if self.timed else min(load.outstanding, records, LANES_MAX)
        self.speed = load.speed if load.pace == "recorded" else 0.0
        self.period = SECOND_NS / load.rate
        self.pages: dict[int, bytes] = {}
        self.seen = 0

    def job(self, lane: int, step: int) -> Job | None:
        """See workloads.loads.load.Program."""
        if step >= self.records:
            return None
        page, record = divmod(step, PAGE_RECORDS)
        at, gpa, size, to_shared = RECORD.unpack_from(self.pages[page], record * RECORD.size)
        if step > self.seen:
            self.seen = step
            if record == 0:
                self.pages.pop(page - 1, None)
        wait = round(at / self.speed if self.speed else step * self.period)
        start = gpa // PAGE_BYTES
        return Job(
            wait if self.timed else 0,
            start,
            start + size // PAGE_BYTES,
            Share.SHARED if to_shared else Share.PRIVATE,
            whole=True,
        )

    def ahead(self) -> int:
        """Each event takes one record at most and looks at one more; every lane may do so in one nanosecond."""
        page = self.seen // PAGE_RECORDS
        while page in self.pages:
            page += 1
        have = page * PAGE_RECORDS
        return (
            EVENTS_AT_A_TIME if have >= self.records else max(0, have - self.seen - 2 - self.lanes)
        )

    def wanted(self) -> Sequence[tuple[int, int]]:
        """The page in use and the next one."""
        page = self.seen // PAGE_RECORDS
        last = (self.records - 1) // PAGE_RECORDS
        return [
            (self.source, number)
            for number in (page, page + 1)
            if number <= last and number not in self.pages
        ]

    def supply(self, source: int, page: int, records: bytes) -> None:
        """Keep a page that this VM needs."""
        if (source, page) in self.wanted():
            self.pages[page] = records
