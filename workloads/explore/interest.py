"""States of interest: what an exploration has to have come by, or it shows nothing."""

from collections.abc import Callable
from typing import Any

from actors import observations as o
from actors.contract import Reason, Share
from workloads.checkers import Inspector

Test = Callable[[Inspector, Any], bool]
COMPLETED = {share: f"a conversion to {share.name.lower()} succeeds" for share in Share}


def ready(inspector: Inspector, fact: o.Decided) -> bool:
    """Is it an ABORT although somebody was READY?"""
    return not fact.commit and bool(inspector.books(fact.gmem).operations[fact.op].ready)


INTERESTS: tuple[tuple[str, type, Test], ...] = (
    (
        COMPLETED[Share.SHARED],
        o.Answered,
        lambda _, fact: fact.reason is Reason.NONE and fact.to is Share.SHARED,
    ),
    (
        COMPLETED[Share.PRIVATE],
        o.Answered,
        lambda _, fact: fact.reason is Reason.NONE and fact.to is Share.PRIVATE,
    ),
    (
        "a conversion is refused",
        o.Answered,
        lambda _, fact: fact.reason not in (Reason.NONE, Reason.DEAD),
    ),
    ("an ABORT after somebody was READY", o.Decided, ready),
    ("a bug after the decision", o.VmBugged, lambda _, fact: fact.site.endswith("commit")),
    ("a page is poisoned", o.PoisonSet, lambda *_: True),
    ("a fault waits for a conversion", o.FaultParked, lambda *_: True),
    ("the guest touches what it has lost", o.GuestAccess, lambda _, fact: not fact.ok),
    ("the VM is given up", o.VmStopped, lambda *_: True),
)


def interests() -> dict[type, list[tuple[str, Test]]]:
    """By the kind of fact that shows it."""
    found: dict[type, list[tuple[str, Test]]] = {}
    for name, kind, test in INTERESTS:
        found.setdefault(kind, []).append((name, test))
    return found


def struck_name(point: str) -> str:
    """What it is called that a fault point strikes."""
    return f"{point} strikes"
