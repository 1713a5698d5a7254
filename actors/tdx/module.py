"""TDX module of one host: S-EPT entries of its TDs, single-try locks, TLB epochs, zero-step mitigation, PAMT owners."""

from typing import ClassVar

import msgspec

from actors import messages as m
from actors.address import KVM
from actors.contract import Actor, Context
from actors.intervals import IntervalMap
from actors.observations import AugQueued, CachesWritten, EpochDrained, SeamcallAnswered
from actors.tdx import end as tdx_end
from actors.tdx import entries as tdx_entries
from actors.tdx import guest as tdx_guest
from actors.tdx import tables as tdx_tables
from actors.tdx import verdict as tdx_verdict
from actors.tdx.contention import Contention
from actors.tdx.entries import STATE_MASK, Td
from actors.tdx.pamt import DynamicPamt
from actors.tdx.states import LEVEL_4K, PAGES, RULES, Call, Cause, Entry, Lock, Rule, Status

# What every SEAMCALL looks at, and a member is slow to look up.
OK, BUG, FAULT = Status.OK, Status.BUG, Cause.FAULT
REMOVE, TRACK, BLOCK, DEMOTE, AUG = Call.REMOVE, Call.TRACK, Call.BLOCK, Call.DEMOTE, Call.AUG
WBINVD = Call.WBINVD
ALONE, TOGETHER = Lock.EXCLUSIVE, Lock.SHARED


class TdxModule(Actor):
    """One per host. `pamt` is pfn -> base address of the VM that owns the frame, 0 for none.

    `dynamic` is there where the host gives the PAMT its pages by region, and counts what is in each; `by_rate` where
    BUSY is a matter of chance, and not of the locks that are held. `readmits`: other TDs come after those
    that are gone.
    """

    tds: dict[int, Td]
    pamt: IntervalMap
    dynamic: DynamicPamt | msgspec.UnsetType = msgspec.UNSET
    by_rate: Contention | msgspec.UnsetType = msgspec.UNSET
    readmits: bool | msgspec.UnsetType = msgspec.UNSET

    def on_seamcall(self, message: m.Seamcall, context: Context) -> None:
        """Answer a batch: BUSY at once where a lock is held, else the entries move and the time passes."""
        td = self.tds[message.vm]
        rule = RULES[message.call]
        status, index, cause = tdx_verdict.verdict(self, td, rule, message, context)
        if status is BUG and message.call == REMOVE:
            page = message.start + index * PAGES[message.level]
            td.stuck.set(page, page + PAGES[message.level], 1)
        span = index * PAGES[message.level]
        pairs = 0
        if index and rule.moves:
            pairs = self.move(td, rule, message, message.start + span, context)
        if status is OK and message.call == TRACK:
            td.epoch += 1
        if status is OK and td.tables is not msgspec.UNSET:
            tdx_tables.note(td.tables, message)
        if message.call == BLOCK and index:
            td.blocked_in = td.epoch
        if message.call == WBINVD and index:
            context.observe(CachesWritten(message.vm, message.start, message.start + span))
        took = duration(rule, message, max(index, 1), context)
        if pairs and message.call != DEMOTE:  # whose own costs have it
            took += context.cost("pamt_add_pair" if pairs > 0 else "pamt_remove_pair", abs(pairs))
        if index and rule.serial and message.level == LEVEL_4K:
            begin = max(context.now, td.serial_until)
            busy = context.cost(rule.serial, index)
            td.serial_until = begin + busy
            took = max(took, td.serial_until - context.now)
            context.observe(AugQueued(message.vm, begin - context.now, busy))
        if message.call == AUG and self.by_rate is not msgspec.UNSET:
            self.by_rate.note(message.vm, context.now + took, 0)
        held = 0
        if rule.tree is ALONE and status is OK:
            held = took - 1
            td.tree_exclusive_until = max(td.tree_exclusive_until, context.now + held)
        elif rule.tree is TOGETHER and index:
            held = took - 1
            td.tree_shared_until = max(td.tree_shared_until, context.now + held)
        where = message.start, message.end
        context.observe(
            SeamcallAnswered(message.vm, message.call, *where, status, message.op, cause, held)
        )
        reply = m.SeamcallDone(
            message.ticket,
            message.call,
            status,
            index,
            pairs,
            message.level,
            cause is FAULT,
        )
        context.send(message.vm | KVM, reply, max(took, context.link))

    def move(self, td: Td, rule: Rule, message: m.Seamcall, end: int, context: Context) -> int:
        """Take the entries of [start, end) to their next state, run by run; as `enter`."""
        pairs = 0
        level = 1 if message.call == DEMOTE else message.level
        if message.call == AUG and message.pfn >= 0:
            td.frames.set(message.start, end, message.pfn - message.start)
        for start, stop, value in td.sept.runs(message.start, end):
            state = rule.moves.get(value & STATE_MASK)
            assert state is not None, (
                f"{Call(message.call).name} of {start:#x}..{stop:#x}"
                f" in state {Entry(value & STATE_MASK).name}"
            )
            pairs += tdx_entries.enter(self, td, message.vm, start, stop, state, level, context)
        return pairs

    def on_vp_exits(self, message: m.VpExits, context: Context) -> None:
        """Every vCPU has been out: nobody is left in an older epoch, and no vCPU holds a lock."""
        td = self.tds[message.vm]
        assert td.drained <= td.epoch, f"epoch {td.epoch} is drained before it began"
        td.drained = td.epoch
        td.zero_step_until = td.entry_until = 0
        context.observe(EpochDrained(message.vm, message.kicked, 1))
        context.send(message.vm | KVM, m.Kicked(message.ticket), context.link)

    HANDLERS: ClassVar = {
        m.Seamcall: on_seamcall,
        m.VpExits: on_vp_exits,
        m.VpEnter: tdx_guest.on_vp_enter,
        m.Access: tdx_guest.on_access,
        m.Release: tdx_guest.on_release,
        m.TakeOut: tdx_end.on_take_out,
        m.FreeHkid: tdx_end.on_free_hkid,
        m.Reclaim: tdx_end.on_reclaim,
    }


def duration(rule: Rule, message: m.Seamcall, count: int, context: Context) -> int:
    """The time of `count` calls; a DEMOTE whose PAMT is static has no pair to pay for."""
    names = rule.costs[message.level]
    if message.call == DEMOTE and not message.pairs:
        names = tuple(name for name in names if name != "pamt_add_pair")
    took = 0
    for name in names:
        took += context.cost(name, count)
    return took
