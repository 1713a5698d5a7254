"""A load whose VM shares its inode with others: they use what becomes shared, and still do when it goes private."""

from actors import messages as m
from actors.address import FILES_MAX
from actors.contract import Context, Place, Reason, Share
from cluster.draws import block
from workloads.loads.draws import exponential
from workloads.loads.load import Job, Load

# How long another VM takes to turn to a buffer, and how long after the owner wants it back it may still do so.
LAG_NS = 100_000  # ASSUMED 10 us to 1 ms
LOOKS = 4  # ASSUMED 1 to 8: how often it does while the owner takes the buffer back


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
            self.hand(task, (job.start, job.end), LOOKS, context)

    def hand(self, task: int, place: Place, looks: int, context: Context) -> None:
        """Each of the others uses the range, some time soon."""
        touch = m.Touch(task, *place, Share.SHARED)
        for file, other in enumerate(self.others):
            for draw in block(self.key, task * FILES_MAX + file)[:looks]:
                lag = round(exponential(LAG_NS, draw))
                context.send(other, touch, context.link + lag)

    def on_done(self, message: m.TaskDone, context: Context) -> None:
        """What has become shared goes from hand to hand."""
        place = self.handing.pop(message.task, None)
        if place and message.reason is Reason.NONE:
            self.hand(message.task, place, 1, context)
        super().on_done(message, context)

    HANDLERS = {**Load.HANDLERS, m.TaskDone: on_done}
