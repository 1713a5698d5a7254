"""What one vCPU of the guest is busy with: a conversion, or the use of memory."""

from typing import ClassVar, TypeVar

import msgspec

from actors import messages as m
from actors.contract import PAGES_2M, Reason, Share
from actors.tdx.states import LEVEL_4K


class Task(msgspec.Struct):
    """What one vCPU is busy with; `cursor` is how far it has come, `failure` what it ends with.

    `again` counts pieces that were asked for again; `back` is True once the conversion is to be taken back.
    """

    task: int
    start: int
    end: int
    to: Share
    since: int
    whole: bool
    convert: bool
    touch: bool
    cursor: int = 0
    tries: int = 0
    again: int = 0
    back: bool = False
    out: bool = False  # the vCPU is out of the guest, waiting for the host
    level: int = LEVEL_4K
    failure: Reason = Reason.NONE
    give_up: bool = False  # inflate the balloon by it
    as_is: bool = False  # use it on the side where the guest believes it to be
    heeds: ClassVar[bool] = True  # waits for another task on its pages, as any sane guest does

    def requests(self) -> list[tuple[int, int]]:
        """The ranges that it will ask the VMM for, one after the other."""
        step = self.end - self.start if self.whole else PAGES_2M
        starts = range(self.start, self.end, step) if self.convert else ()
        return [(start, min(start + step, self.end)) for start in starts]


class AliasUse(Task):
    """A hostile vCPU's use of a private alias: it waits for no conversion, and others do not wait for it.

    `accept`: it accepts again what it meets, mapped or not; else it reads.
    """

    accept: bool = False
    heeds: ClassVar[bool] = False


T = TypeVar("T", bound=Task)


def use_of(
    message: m.Touch | m.Write | m.GiveUp | m.UseAlias, share: Share, now: int, kind: type[T]
) -> T:
    """A task that converts nothing."""
    return kind(
        message.task,
        message.start,
        message.end,
        share,
        now,
        whole=False,
        convert=False,
        touch=True,
    )


def alias_use(message: m.UseAlias, now: int) -> AliasUse:
    """A task that touches what another one may be converting."""
    task = use_of(message, Share.PRIVATE, now, AliasUse)
    task.accept = message.accept
    return task


def in_the_way(task: Task, other: Task) -> bool:
    """Must the first of two tasks wait for the second? A page has one owner at a time, but for a hostile guest's."""
    return task.heeds and other.heeds and other.start < task.end and task.start < other.end
