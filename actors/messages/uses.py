"""More that loads ask for."""

from actors.contract import Message


class Write(Message, frozen=True, tag=86):
    """Load -> guest: use a range on whichever side the guest believes it to be by then."""

    task: int
    start: int
    end: int


class UseAlias(Message, frozen=True, tag=101):
    """Load -> guest: use the private alias of a range, whoever may be converting it: `accept` it, or read it."""

    task: int
    start: int
    end: int
    accept: bool


class GetPages(Message, frozen=True, tag=87):
    """Load -> host mapping: get_user_pages on shared memory, for a holder that keeps it for `hold` ns."""

    start: int
    end: int
    hold: int


class LetGo(Message, frozen=True, tag=88):
    """Timer of the load: pages of the host's pool that it holds go back; the VM whose load it was then."""

    pages: int
    vm: int
