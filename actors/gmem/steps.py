"""What guest_memfd does in each row of a protocol's table. Protocols share these steps and differ in their order."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from actors import messages as m
from actors.address import PINS, VMM, vm_base
from actors.contract import Context
from actors.gmem import ask as asking
from actors.gmem import marks as marking
from actors.gmem import ranges as ranging
from actors.gmem import store as storing
from actors.gmem import undo as undoing
from actors.gmem.conversion import Conversion
from actors.gmem.own import fail, spare
from actors.observations import ConvertEnd
from actors.protocols.table import Stage, Who

if TYPE_CHECKING:
    from actors.gmem.inode import Gmem

Action = Callable[["Gmem", Conversion, Who, Context], None]


def reply(gmem: "Gmem", conversion: Conversion, _: Who, context: Context) -> None:
    """Answer the ioctl and drop the lock."""
    finish(gmem, conversion, False, context)


def reply_enomem(gmem: "Gmem", conversion: Conversion, _: Who, context: Context) -> None:
    """Answer ENOMEM, or whatever it was: the list could not be made."""
    why = conversion.denied
    fail(gmem, conversion, why, conversion.wanting, "gmem", context, Stage.LISTING)
    finish(gmem, conversion, False, context)


def reply_redundant(gmem: "Gmem", conversion: Conversion, _: Who, context: Context) -> None:
    """The whole range has the wanted state already: success, and nobody is bothered."""
    finish(gmem, conversion, True, context)


def finish(gmem: "Gmem", conversion: Conversion, redundant: bool, context: Context) -> None:
    """Answer, forget the conversion, let the next one have the lock."""
    op = conversion.op
    conversion.reserved += conversion.listed
    spare(gmem, conversion, context)
    answer = m.Converted(op, conversion.reason, conversion.offset, redundant)
    context.send(vm_base(gmem.address) | VMM, answer, context.link)
    held = context.now - conversion.locked_at
    offset = conversion.offset + conversion.shift if conversion.offset >= 0 else -1
    prefix = gmem.options.prefix
    end = ConvertEnd(gmem.address, op, conversion.reason, offset, redundant, held, prefix)
    context.observe(end)
    del gmem.conversions[op]
    if conversion.awaited:
        tell_pins(gmem, op, context)
    gmem.drop(gmem.conversion_ticket(op), context)


def on_await_thaw(gmem: "Gmem", message: m.AwaitThaw, context: Context) -> None:
    """Pins want to know when it is over, or that it is."""
    conversion = gmem.conversions.get(message.op)
    if conversion:
        conversion.awaited = True
    else:
        tell_pins(gmem, message.op, context)


def tell_pins(gmem: "Gmem", op: int, context: Context) -> None:
    """Counts that this conversion has frozen are thawed."""
    over = m.ConversionOver(gmem.address, op)
    context.send(vm_base(gmem.address) | PINS, over, context.link)


def note(gmem: "Gmem", conversion: Conversion, _: Who, context: Context) -> None:
    """A row that only records that the event is expected here."""


ACTIONS: dict[str, Action] = {
    action.__name__: action
    for action in (
        storing.reserve,
        storing.reserve_tree,
        storing.reserve_folios,
        asking.freeze,
        asking.freeze_range,
        asking.thaw,
        asking.after_thaw,
        asking.prepare,
        asking.prepare_in_turn,
        asking.prepare_next,
        asking.split_file,
        asking.split_next_file,
        asking.zap_file,
        asking.next_file,
        asking.prepare_in_time,
        asking.commit,
        asking.abort,
        asking.pass_no_return,
        asking.decide_commit,
        asking.decide_freeze,
        asking.decide_abort,
        asking.invalidate,
        asking.invalidate_next,
        asking.remap,
        asking.remap_next,
        storing.store,
        storing.await_quiet,
        storing.look_once,
        storing.restructure,
        storing.complete_thaw,
        storing.complete_short,
        marking.reserve_mark,
        storing.fail_efault_thaw,
        reply,
        reply_enomem,
        reply_redundant,
        note,
        ranging.list_ranges,
        ranging.list_huge,
        ranging.cut_list,
        ranging.discard,
        ranging.next_range,
        undoing.unstore_thaw,
        undoing.rejoin,
        undoing.undo,
        undoing.undo_range,
        undoing.undo_next,
        undoing.undo_failed,
    )
}
ACTIONS["reserve_store"] = (
    storing.reserve_tree
)  # the same step, taken late: nothing was preallocated
