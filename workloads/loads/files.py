"""A load whose VM shares its inode with others: they use what becomes shared, and still do when it goes private."""

from actors import messages as m
from actors.address import FILES_MAX
from actors.contract import Context, Place, Reason, Share
from cluster.draws import block
from workloads.loads.draws import exponential
from workloads.loads.load import Job, Load

# How long another VM takes to turn to a buffer, and how late after its being called back it may look once more.
LAG_NS = 100_000  # ASSUMED 10 us to 1 ms


class FilesLoad(Load):
    """`others` are the other VMs, `handing` is task -> range that is to become shared."""

    others: tuple[int, ...] = ()
    key: bytes = b""
    handing: dict[int, Place] = {}

    def ask(self, task: int, job: Job, context: Context) -> None:
        """What is to go private is still in use elsewhere."""
        super().ask(task, job, context)
        if job.convert and job.to is Share.SHARED:
            self.handing[task] = (job.start, job.end)
        elif job.convert:
            self.hand(task, job.start, job.end, context)

    def hand(self, task: int, start: int, end: int, context: Context) -> None:
        """Each of the others uses the range, some time soon."""
        for file, other in enumerate(self.others):
            lag = round(exponential(LAG_NS, block(self.key, task * FILES_MAX + file)[0]))
            touch = m.Touch(task, start, end, Share.SHARED)
            context.send(other, touch, context.link + lag)

    def on_done(self, message: m.TaskDone, context: Context) -> None:
        """What has become shared goes from hand to hand."""
        place = self.handing.pop(message.task, None)
        if place and message.reason is Reason.NONE:
            self.hand(message.task, *place, context)
        super().on_done(message, context)

    HANDLERS = {**Load.HANDLERS, m.TaskDone: on_done}
