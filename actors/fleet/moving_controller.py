"""The controller of a fleet in which VMs move: at a rate, or because their host is evacuated.

Where to is up to the policy that places new ones. A host takes part in one move at a time, so that each has the whole
of both links.
"""

from typing import ClassVar, Protocol

import msgspec

from actors.address import AGENT, host_address, host_base, host_of
from actors.contract import Context
from actors.fleet import messages as f
from actors.fleet import move_messages as v
from actors.fleet.controller import POLICIES, Controller
from actors.fleet.messages import No
from actors.fleet.move_messages import ENDS, Phase, Timer
from actors.fleet.move_observations import HostEmptied, MoveChanged


class Moves(Protocol):
    """Who moves when: pure functions of a move's number, from 0."""

    def wait(self, number: int) -> int | None:
        """ns from the one before, or from the beginning; None where nobody moves of his own."""

    def pick(self, number: int, of: int) -> int:
        """Which of so many."""


class Moving(msgspec.Struct):
    """A VM on its way: where from, to which host, since when."""

    source: int
    host: int
    since: int


class MovingController(Controller):
    """`homes` is arrival -> VM, `booted` those of them that may move, `moving` those that do.

    `evacuate` are hosts to be emptied, one after the other; `out` is the one that takes nobody, since `closed`, and
    takes VMs again `away` ns after it is `emptied`. A move that failed is tried again after `pause` ns.
    """

    moves: Moves | None = None
    evacuate: list[int] = []
    away: int = 0
    pause: int = 0
    homes: dict[int, int] = {}
    booted: list[int] = []
    moving: dict[int, Moving] = {}
    out: int = -1
    closed: int = 0
    emptied: bool = False
    resting: bool = False
    drawn: int = 0  # moves that are due by chance, so far
    begun: int = 0

    def on_time(self, message: v.MoveTime, context: Context) -> None:
        """Somebody moves, the next host is evacuated, or things go on."""
        if message.timer is Timer.MOVE:
            self.move_one(context)
        elif message.timer is Timer.AGAIN:
            self.resting = False
        else:
            self.out = self.evacuate.pop(0) if self.evacuate else -1
            self.closed, self.emptied = context.now, False
        self.empty(context)
        self.serve(context)

    def move_one(self, context: Context) -> None:
        """One of those that may move now, if any. Where only links are taken nobody does, and nothing is said."""
        assert self.moves is not None
        number = self.drawn
        self.drawn += 1
        if context.now >= self.until:
            return
        self.later(self.moves.wait(number + 1), Timer.MOVE, context)
        able = self.able()
        if able:
            arrival = able[self.moves.pick(number, len(able))]
            if not self.begin(arrival, context) and not self.places_beside(self.homes[arrival]):
                self.tell_move(arrival, self.homes[arrival], Phase.BEGUN, 0, context)
                self.tell_move(arrival, self.homes[arrival], Phase.REFUSED, 0, context)

    def later(self, wait: int | None, timer: Timer, context: Context) -> None:
        """Set a timer, unless it were for a time at which nobody moves any more."""
        if wait is not None and context.now + wait < self.until:
            context.after(max(1, wait), v.MoveTime(timer))

    def able(self) -> list[int]:
        """Arrivals that have booted, on hosts whose links are free."""
        busy = self.busy()
        return sorted(a for a in self.booted if host_of(self.homes[a]) not in busy)

    def busy(self) -> set[int]:
        """Hosts that have a part in a move."""
        found = {move.host for move in self.moving.values()}
        return found | {host_of(move.source) for move in self.moving.values()}

    def empty(self, context: Context) -> None:
        """The next VM off the host that is evacuated; those that boot there come later."""
        if self.out < 0 or self.emptied or self.resting or context.now >= self.until:
            return
        left = any(host_of(vm) == self.out for vm in self.homes.values())
        if not left and not self.asked[self.out] and self.out not in self.busy():
            self.emptied = True
            context.observe(HostEmptied(host_address(self.out), context.now - self.closed))
            self.later(self.away, Timer.BACK, context)
        for arrival in self.able():
            if host_of(self.homes[arrival]) == self.out and self.begin(arrival, context):
                return

    def begin(self, arrival: int, context: Context) -> bool:
        """Ask the host that the policy prefers, if one may take it."""
        vm, busy = self.homes[arrival], self.busy()
        hosts = [host for host in self.places_beside(vm) if host not in busy]
        if not hosts:
            return False
        prefers = POLICIES[self.policy]
        host = min(hosts, key=lambda host: prefers(self, host))
        self.asked[host] += 1
        self.last = host
        self.moving[arrival] = Moving(vm, host, context.now)
        self.tell_move(arrival, vm, Phase.BEGUN, context.now, context)
        self.begun += 1
        ask = v.Receive(arrival, vm, self.begun)
        context.send(host_address(host) | AGENT, ask, context.cost("network"))
        return True

    def places_beside(self, vm: int) -> list[int]:
        """Other hosts that have a place for it."""
        known = enumerate(self.free)
        return [host for host, free in known if host != host_of(vm) and self.may_take(host, free)]

    def may_take(self, host: int, free: int) -> bool:
        """Nobody goes to a host that is evacuated."""
        return host != self.out and super().may_take(host, free)

    def on_answer(self, message: f.Placed, context: Context) -> None:
        """Of a host that was asked to take somebody in, new or not."""
        move = self.moving.get(message.arrival)
        if move is None:
            self.on_placed(message, context)
            if message.no is No.NONE:
                self.homes[message.arrival] = message.vm
            self.empty(context)
            return
        self.asked[move.host] -= 1
        self.free[move.host] = message.free
        if message.no is not No.NONE:
            self.end(message.arrival, move.source, Phase.REFUSED, context)
            return
        self.tell_move(message.arrival, message.vm, Phase.ACCEPTED, move.since, context)
        order = v.MoveOut(message.arrival, move.source, message.vm)
        context.send(host_base(move.source) | AGENT, order, context.cost("network"))
        self.serve(context)

    def on_host_news(self, message: f.HostNews, context: Context) -> None:
        """A boot is over, or somebody is gone."""
        arrival = message.arrival
        if message.left:
            self.homes.pop(arrival, None)
            if arrival in self.booted:
                self.booted.remove(arrival)
        elif arrival in self.homes and arrival not in self.booted:
            self.booted.append(arrival)
        self.on_news(message, context)
        self.empty(context)

    def on_move_news(self, message: v.MoveNews, context: Context) -> None:
        """A move goes on, or has ended one way or another."""
        if message.phase is Phase.RUNS:
            self.homes[message.arrival] = message.vm
        if message.phase in ENDS:
            self.end(message.arrival, message.vm, message.phase, context)
        else:
            since = self.moving[message.arrival].since
            self.tell_move(message.arrival, message.vm, message.phase, since, context)

    def end(self, arrival: int, vm: int, phase: Phase, context: Context) -> None:
        """Both links are free for others; where it has failed, not at once."""
        move = self.moving.pop(arrival)
        self.tell_move(arrival, vm, phase, move.since, context)
        if phase is not Phase.RELEASED and self.out >= 0 and not self.resting:
            self.resting = True
            self.later(self.pause, Timer.AGAIN, context)
        self.empty(context)
        self.serve(context)

    def tell_move(self, arrival: int, vm: int, phase: Phase, since: int, context: Context) -> None:
        """What has become of a move."""
        context.observe(MoveChanged(arrival, vm, phase, context.now - since if since else 0))

    HANDLERS: ClassVar = {
        **Controller.HANDLERS,
        f.Placed: on_answer,
        f.HostNews: on_host_news,
        v.MoveTime: on_time,
        v.MoveNews: on_move_news,
    }
