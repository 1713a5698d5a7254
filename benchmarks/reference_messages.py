"""The messages of the reference model, in the order in which a conversion meets them."""

from actors.contract import Consumer, Message


class Tick(Message, frozen=True, tag=1):
    """Timer of the guest: it has thought."""


class Convert(Message, frozen=True, tag=2):
    """Guest -> guest_memfd."""

    op: int
    commit: bool


class Prepare(Message, frozen=True, tag=3):
    """guest_memfd -> consumer."""

    op: int
    gmem: int


class Commit(Message, frozen=True, tag=4):
    """guest_memfd -> consumer."""

    op: int
    gmem: int


class Abort(Message, frozen=True, tag=5):
    """guest_memfd -> consumer."""

    op: int
    gmem: int


class Call(Message, frozen=True, tag=6):
    """KVM MMU -> TDX module."""

    op: int
    kvm: int


class Served(Message, frozen=True, tag=7):
    """Timer of a consumer or a server: the work for `client` is done."""

    op: int
    client: int


class Returned(Message, frozen=True, tag=8):
    """TDX module -> KVM MMU."""

    op: int


class Done(Message, frozen=True, tag=9):
    """Consumer -> guest_memfd."""

    op: int
    consumer: Consumer


class Converted(Message, frozen=True, tag=10):
    """guest_memfd -> guest."""

    op: int
    commit: bool
