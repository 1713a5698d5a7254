"""Slips of the engine: what it is, the checks that find it, and the line or two that are otherwise."""

import inspect
import textwrap
from collections.abc import Callable
from types import CodeType
from typing import Any, NamedTuple

from pytest import MonkeyPatch

from cluster import batch, checkpoint, digest, placement, run, telling
from cluster.cell import Cell
from cluster.drive import Driver
from cluster.faults import FaultPlan
from cluster.histogram import Histogram
from cluster.host import Host
from cluster.lasting import Lasting
from cluster.partition import Partition
from workloads import queues

Function = Callable[..., Any]
Edit = tuple[Function, str, str]
"""(function, its text before, after)."""


class Slip(NamedTuple):
    """`what` it is, `ids` of the checks of tests.negative.engine_checks that find it, and the edits."""

    subject: str
    what: str
    ids: str
    edits: tuple[Edit, ...]

    def plant(self, patch: MonkeyPatch) -> None:
        """From now on the functions are as edited, whoever has imported them."""
        texts: dict[Function, str] = {}
        for function, before, after in self.edits:
            text = texts.get(function) or textwrap.dedent(inspect.getsource(function))
            assert text.count(before) == 1, f"{function.__qualname__} has not once: {before}"
            texts[function] = text.replace(before, after)
        for function, text in texts.items():
            patch.setattr(function, "__code__", compiled(function, text))


def compiled(function: Function, text: str) -> CodeType:
    """The code of a function that has this text instead of its own."""
    own = function.__code__
    module = compile(text, own.co_filename, "exec")
    (code,) = (c for c in module.co_consts if isinstance(c, CodeType) and c.co_name == own.co_name)
    return code.replace(co_qualname=own.co_qualname)


def slip(subject: str, what: str, ids: str, *edits: Edit) -> Slip:
    return Slip(subject, what, ids, edits)


ORDER, WINDOWS, CHANCE = "order of events", "partitions and windows", "chance and failures"
STATE, DIGEST, FIGURES = "checkpoints and losses", "the digest", "figures"
DIGEST_LINE = "((cell.digest + stamp) * factor + now)"
DIGEST_LINE_NS = "((cell.digest + stamp) * DIGEST_K + now)"
SLIPS = [
    slip(
        ORDER,
        "Of a message that takes the shortest way and a timer of the same nanosecond, the message always comes first.",
        "definition pieces",
        (Host.run, "lane[0][0] < queue[0][0]", "lane[0][0] <= queue[0][0]"),
    ),
    slip(
        ORDER,
        "Where one event is in the heap, nobody looks into the lane for others of its nanosecond.",
        "definition pieces",
        (
            Host.run,
            "if queue[0][0] == now or (lane and lane[0][0] == now):",
            "if queue[0][0] == now:",
        ),
    ),
    slip(
        ORDER,
        "Events of one nanosecond take turns as they come out of the queues.",
        "definition pieces",
        (Host._nanosecond, "    events.sort()\n    before", "    before"),
    ),
    slip(
        ORDER,
        "Of two senders the one with the lower address always comes first.",
        "definition fair",
        (Host._tie, "mixed(self.seed, now, stamp >> SEQUENCE_BITS)", "0"),
    ),
    slip(
        ORDER,
        "Of one sender's messages that arrive together the last comes first.",
        "fair",
        (Host._tie, "SEQUENCE_BITS), stamp", "SEQUENCE_BITS), -stamp"),
    ),
    slip(
        ORDER,
        "The hash that decides whose turn it is takes the message's number as well: messages overtake on a link.",
        "definition fair",
        (Host._tie, "stamp >> SEQUENCE_BITS", "stamp"),
    ),
    slip(
        ORDER,
        "What takes a little longer than the shortest way waits in the same lane, and is overtaken by none behind it.",
        "definition pieces",
        (Cell.send, "if delay <= link:", "if delay <= 2 * link:"),
        (
            Cell.send,
            "self._lane.append((self.now + link,",
            "self._lane.append((self.now + max(delay, link),",
        ),
    ),
    slip(
        ORDER,
        "What comes from another host waits in the lane.",
        "definition partitions",
        (
            Host.deliver,
            "heappush(self.queue, (due, target, stamp, self.cells[target], message))",
            "self.lane.append((due, target, stamp, self.cells[target], message))",
        ),
    ),
    slip(
        ORDER,
        "After a timer that was taken back the heap's next event is handled, and the lane is before it.",
        "definition pieces",
        (
            Host.run,
            "continue  # and the lane may come before who is behind it",
            "event = heappop(queue)",
        ),
    ),
    slip(
        ORDER,
        "A timer that is taken back goes off.",
        "balance definition",
        (Host.cancel, "self.cancelled.add(stamp)", "pass"),
    ),
    slip(
        ORDER,
        "A timer that is taken back in the nanosecond in which it is due goes off.",
        "balance definition",
        (Host._nanosecond, "if cancelled and stamp in cancelled:", "if False:"),
    ),
    slip(
        ORDER,
        "Where the queue is swept of timers that were taken back, one event goes with them.",
        "definition",
        (Host.cancel, "if event[2] not in swept]", "if event[2] not in swept][:-1]"),
    ),
    slip(
        ORDER,
        "A timer has the number of the message before it.",
        "balance definition",
        (Cell.after, "self.stamp = stamp = self.stamp + 1", "stamp = self.stamp"),
    ),
    slip(
        WINDOWS,
        "What is due when a window ends is handled in it.",
        "past",
        (Host.run, "stop = (horizon, -1, 0", "stop = (horizon + 1, -1, 0"),
    ),
    slip(
        WINDOWS,
        "The lookahead is too large: a window is twice as long as the shortest way between hosts.",
        "past",
        (Driver._windows, "min(times) + lookahead", "min(times) + 2 * lookahead"),
    ),
    slip(
        WINDOWS,
        "The end of a window is reckoned from the events in the queues, and not from messages on their way.",
        "past",
        (
            Driver._windows,
            "for at in (report.next_time, report.posted)",
            "for at in (report.next_time,)",
        ),
    ),
    slip(
        WINDOWS,
        "A host goes on to the end of its slice, whatever the window is.",
        "past",
        (
            Partition._pass,
            "edge = min(horizon, min(at for at, _ in waiting) + self._slice)",
            "edge = min(at for at, _ in waiting) + self._slice",
        ),
    ),
    slip(
        WINDOWS,
        "A message to another partition is due a nanosecond early.",
        "pieces definition",
        (
            Cell.send,
            "(self.now + max(delay, link), stamp",
            "(self.now + max(delay, link) - 1, stamp",
        ),
    ),
    slip(
        WINDOWS,
        "A partition's last host does not flush what it has for others: it waits for the next window.",
        "past",
        (
            Partition._post,
            "for host in self.hosts.values():",
            "for host in [h for h in self.hosts.values() if self.handled() % 3]:",
        ),
    ),
    slip(
        WINDOWS,
        "The first host's messages to others are never flushed.",
        "balance partitions",
        (
            Partition._post,
            "for host in self.hosts.values():",
            "for host in [*self.hosts.values()][1:]:",
        ),
    ),
    slip(
        WINDOWS,
        "Of the batches that several partitions have for one, the last is delivered.",
        "balance partitions",
        (Driver._window, "inbound[place].append(batch)", "inbound[place] = [batch]"),
    ),
    slip(
        WINDOWS,
        "A batch of a partition that rests is delivered with every window.",
        "past",
        (Driver._window, "msgspec.structs.replace(report, outbound=[], posted=None)", "report"),
    ),
    slip(
        WINDOWS,
        "An outbox is not emptied when it has been sent.",
        "past",
        (Partition._post, "host.outbox = []", "pass"),
    ),
    slip(
        WINDOWS,
        "A batch keeps the last three bits of a sequence number.",
        "pieces",
        (batch.Codec.encode, "stamp & mask", "stamp & 0x7"),
    ),
    slip(
        WINDOWS,
        "A partition has all actors of its hosts, its own and those of others.",
        "owner",
        (Partition._own, "if self.places.whole:", "if True:"),
    ),
    slip(
        WINDOWS,
        "Two partitions have the fleet's first host.",
        "owner",
        (placement.Places.hosts, "if at == place]", "if at == place or host == 0]"),
    ),
    slip(
        WINDOWS,
        "A partition that takes a rest is taken to be done.",
        "yields",
        (Driver._alone, "if stopped or (report", "if stopped or not report.finished or (report"),
    ),
    slip(
        CHANCE,
        "All actors draw the same numbers.",
        "definition theory",
        (Cell._block, '"cost", self.address', '"cost"'),
    ),
    slip(
        CHANCE,
        "What an actor draws depends on how many others its partition has.",
        "pieces",
        (Cell._block, '"cost", self.address', '"cost", self.address, len(self._peers)'),
    ),
    slip(
        CHANCE,
        "An actor draws the same block of numbers again and again.",
        "theory",
        (Cell._block, "self._blocks += 1", "pass"),
    ),
    slip(
        CHANCE,
        "A fault is decided by the wall clock.",
        "seed",
        (
            FaultPlan.choose,
            "draw = armed.draw(key)",
            'draw = armed.draw(__import__("time").perf_counter_ns())',
        ),
    ),
    slip(
        CHANCE,
        "A fault is decided by how many others were decided before it, in whichever VM.",
        "partitions pieces",
        (FaultPlan.choose, "draw = armed.draw(key)", "draw = armed.draw(armed.over.total())"),
    ),
    slip(
        CHANCE,
        "A schedule counts an opportunity twice.",
        "opportunities",
        (
            FaultPlan.choose,
            "armed.remember(vm, now, first, bisect_right(covered, struck))",
            "armed.remember(vm, now, first, 2 * bisect_right(covered, struck))",
        ),
    ),
    slip(
        CHANCE,
        "Schedules count the opportunities of all VMs together.",
        "partitions",
        (FaultPlan.choose, "vm = key >> VM_KEY_SHIFT", "vm = 0"),
    ),
    slip(
        STATE,
        "A checkpoint forgets the lane.",
        "balance resume",
        (checkpoint._host, "host.pending()", "host.queue"),
    ),
    slip(
        STATE,
        "A checkpoint forgets which timers were taken back.",
        "balance resume",
        (
            checkpoint.resume,
            "host.taken_back, host.cancelled, queue, cells = saved",
            "host.taken_back, _, queue, cells = saved",
        ),
    ),
    slip(
        STATE,
        "A checkpoint forgets how far into its block of draws an actor is.",
        "resume losses",
        (Cell.resume, "if left:", "if False:"),
    ),
    slip(
        STATE,
        "A checkpoint forgets how many messages an actor has sent.",
        "balance resume",
        (Cell.resume, "self.address << SEQUENCE_BITS | sent", "self.address << SEQUENCE_BITS"),
    ),
    slip(
        STATE,
        "A checkpoint forgets the digests so far.",
        "resume losses",
        (Cell.resume, "self.actor, self.digest = actor, digest", "self.actor = actor"),
    ),
    slip(
        STATE,
        "A checkpoint forgets what fault rules remember.",
        "resume losses",
        (Partition.resume, "self.world.faults.restore(faults)", "pass"),
    ),
    slip(
        STATE,
        "A checkpoint forgets until when a failure lasts.",
        "resume",
        (FaultPlan.snapshot, "armed.until.get(vm, 0)", "0"),
    ),
    slip(
        STATE,
        "Watchers go on from a checkpoint, and the results are those of others that have seen nothing.",
        "resume losses",
        (Partition.resume, "self.world.watchers = watchers", "pass"),
    ),
    slip(
        STATE,
        "What was on its way between partitions is no part of a checkpoint.",
        "balance resume",
        (
            Driver._first,
            "report.posted, report.outbound = saved.posted[place], saved.outbound[place]",
            "pass",
        ),
    ),
    slip(
        STATE,
        "A worker that starts anew is told again what it had been told before its checkpoint.",
        "losses",
        (
            Lasting.checkpoint,
            "self.log, self.logged, self.kept = [], 0, self.handled",
            "self.logged, self.kept = 0, self.handled",
        ),
    ),
    slip(
        STATE,
        "A worker that starts anew forgets its checkpoint.",
        "losses",
        (Lasting._recover, "if self.state:", "if False:"),
    ),
    slip(
        STATE,
        "A worker that starts anew misses the first order since its checkpoint.",
        "losses",
        (Lasting._recover, "for order in self.log:", "for order in self.log[1:]:"),
    ),
    slip(
        DIGEST,
        "The digest leaves out when.",
        "definition",
        (Host.run, DIGEST_LINE, "(cell.digest + stamp) * factor"),
        (Host._nanosecond, DIGEST_LINE_NS, "(cell.digest + stamp) * DIGEST_K"),
    ),
    slip(
        DIGEST,
        "The digest leaves out who sent a message.",
        "definition",
        (Host.run, DIGEST_LINE, "((cell.digest + (stamp & 0xFFFFFFFFFF)) * factor + now)"),
    ),
    slip(
        DIGEST,
        "The digest leaves out events that share their nanosecond with others.",
        "definition",
        (Host._nanosecond, DIGEST_LINE_NS + " & DIGEST_MASK", "cell.digest"),
    ),
    slip(
        DIGEST,
        "The digest leaves out what has become of an actor.",
        "covered definition",
        (digest.actor_parts, "own + canonical(cell.actor)", "own"),
    ),
    slip(
        DIGEST,
        "The digest leaves out half of the actors.",
        "covered definition",
        (digest.actor_parts, "if cell.digest:", "if cell.digest & 1:"),
    ),
    slip(
        DIGEST,
        "The digest leaves out all hosts but the first.",
        "covered definition",
        (digest.fleet_digest, "for number in sorted(hosts):", "for number in sorted(hosts)[:1]:"),
    ),
    slip(
        DIGEST,
        "Parts of a host's digest are joined in the order in which partitions tell them.",
        "pieces",
        (digest.joined, "for address in sorted(parts):", "for address in parts:"),
    ),
    slip(
        FIGURES,
        "What actors of several partitions have observed is watched as it arrives.",
        "pieces",
        (telling.Retold.take, "rows.sort(key=lambda row: row[:2])", "pass"),
    ),
    slip(
        FIGURES,
        "Failures that partitions have counted are added up twice.",
        "pieces",
        (telling.faults_of, "total[1] += struck", "total[1] += 2 * struck"),
    ),
    slip(
        FIGURES,
        "Of the counts of several partitions the last one stands.",
        "partitions sums",
        (run.add_up, "found.update(part)", "found |= part"),
    ),
    slip(
        FIGURES,
        "Histograms of several partitions are merged twice.",
        "definition",
        (Histogram.merge, "self._count += other.count", "self._count += 2 * other.count"),
    ),
    slip(
        FIGURES,
        "The largest value of merged histograms is that of the last.",
        "sums",
        (Histogram.merge, "max(self._most, other.most)", "other.most"),
    ),
    slip(
        FIGURES,
        "The sums of a queue are those of the last partition.",
        "sums",
        (queues.joined, "total[key] += sums[key]", "total[key] = sums[key]"),
    ),
    slip(
        FIGURES,
        "The integral of the number in a queue begins a nanosecond late.",
        "L12",
        (queues.Station.join, "self.area -= now", "self.area -= now + 1"),
    ),
    slip(
        FIGURES,
        "A queue's count of those who wait is one too low, once somebody has waited no more.",
        "L12",
        (queues.Station.start, "self.waiting -= 1", "self.waiting -= 2"),
    ),
]
