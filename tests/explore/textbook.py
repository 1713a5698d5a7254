"""Two specifications of the TLA+ examples as actors: transaction commit, and two-phase commit.

In both, what was once sent stays sent (a message of the specification is an element of a set that only grows), so the
links are `Link.KEPT`. What a process does of its own accord is a timer that stays, too. Its guard decides.
"""

from collections.abc import Sequence
from typing import ClassVar

from actors.contract import Actor, Context, Message
from cluster.explore import Link, System

MANAGER = 0  # the transaction manager's address; resource managers have 1, 2, ...


class Prepare(Message, frozen=True, tag=1):
    rm: int


class Commit(Message, frozen=True, tag=2):
    rm: int


class Abort(Message, frozen=True, tag=3):
    rm: int


class Prepared(Message, frozen=True, tag=4):
    rm: int


class TransactionCommit(Actor):
    """TCommit: all resource managers' states at once; it has no messages."""

    states: list[str]

    def on_prepare(self, message: Prepare, context: Context) -> None:
        if self.states[message.rm] == "working":
            self.states[message.rm] = "prepared"

    def on_commit(self, message: Commit, context: Context) -> None:
        if self.states[message.rm] == "prepared" and {*self.states} <= {"prepared", "committed"}:
            self.states[message.rm] = "committed"

    def on_abort(self, message: Abort, context: Context) -> None:
        if self.states[message.rm] in ("working", "prepared") and "committed" not in self.states:
            self.states[message.rm] = "aborted"

    HANDLERS: ClassVar = {Prepare: on_prepare, Commit: on_commit, Abort: on_abort}


def transaction_commit(managers: int) -> System:
    first = [(0, kind(rm)) for rm in range(managers) for kind in (Prepare, Commit, Abort)]
    return System({0: TransactionCommit(["working"] * managers)}, first, link=Link.KEPT)


class TransactionManager(Actor):
    """TwoPhase: TMRcvPrepared, TMCommit, TMAbort."""

    managers: int
    state: str = "init"
    prepared: list[int] = []

    def on_prepared(self, message: Prepared, context: Context) -> None:
        if self.state == "init" and message.rm not in self.prepared:
            self.prepared = sorted([*self.prepared, message.rm])

    def on_commit(self, _: Commit, context: Context) -> None:
        if self.state == "init" and len(self.prepared) == self.managers:
            self.decide(Commit, context)

    def on_abort(self, _: Abort, context: Context) -> None:
        if self.state == "init":
            self.decide(Abort, context)

    def decide(self, kind: type[Commit | Abort], context: Context) -> None:
        self.state = "done"
        for rm in range(1, self.managers + 1):
            context.send(rm, kind(rm), 1)

    HANDLERS: ClassVar = {Prepared: on_prepared, Commit: on_commit, Abort: on_abort}


class ResourceManager(Actor):
    """TwoPhase: RMPrepare, RMChooseToAbort (both of its own accord), RMRcvCommitMsg, RMRcvAbortMsg."""

    rm: int
    state: str = "working"

    def on_prepare(self, _: Prepare, context: Context) -> None:
        if self.state == "working":
            self.state = "prepared"
            context.send(MANAGER, Prepared(self.rm), 1)

    def on_choice(self, _: Prepared, context: Context) -> None:
        if self.state == "working":
            self.state = "aborted"

    def on_commit(self, _: Commit, context: Context) -> None:
        self.state = "committed"

    def on_abort(self, _: Abort, context: Context) -> None:
        self.state = "aborted"

    HANDLERS: ClassVar = {
        Prepare: on_prepare,
        Prepared: on_choice,
        Commit: on_commit,
        Abort: on_abort,
    }


def two_phase(managers: int, kind: type[TransactionManager] = TransactionManager) -> System:
    actors: dict[int, Actor] = {rm: ResourceManager(rm) for rm in range(1, managers + 1)}
    actors[MANAGER] = kind(managers)
    first: list[tuple[int, Message]] = [(MANAGER, Commit(0)), (MANAGER, Abort(0))]
    for rm in range(1, managers + 1):
        first += [(rm, Prepare(rm)), (rm, Prepared(rm))]
    return System(actors, first, link=Link.KEPT)


def outcomes(system: System, states: Sequence[object]) -> set[frozenset[str]]:
    """Which states resource managers are in at the same time."""
    return {
        frozenset(
            system.actor(state, at).state  # type: ignore[arg-type, attr-defined]
            for at in system.addresses
            if at != MANAGER
        )
        for state in states
    }
