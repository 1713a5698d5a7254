"""Where memory ended up: counted over the final states of a partition's actors."""

from collections import Counter
from collections.abc import Iterable

import msgspec

from actors.allocator import Allocator
from actors.contract import PAGE_BYTES, Actor, Share
from actors.gmem.folios import HOLE
from actors.gmem.frames import dormant
from actors.gmem.inode import Gmem
from actors.guest.td import Guest
from workloads.inside import KEYS as INSIDE
from workloads.inside import inside
from workloads.loads.load import Load


def census(actors: Iterable[Actor]) -> dict[str, int]:
    """Bytes by state over live files, fragments of their shareability, and what dead VMs left behind.

    Leaked is memory of files that are gone and that is neither free again nor poisoned: what a reference keeps, by
    whole folios, and the rest of a huge folio that has a poisoned page. What waits for a vCPU or for another task on
    its pages is counted too: no VMM has taken it on.
    """
    found: Counter[str] = Counter()
    for actor in actors:
        if isinstance(actor, Gmem):
            _file(actor, found)
        elif isinstance(actor, Allocator):
            free = sum(e - s for s, e, f in actor.frames.runs(0, actor.frames.starts[-1] + 1) if f)
            found["leaked_bytes"] -= free * PAGE_BYTES
        elif isinstance(actor, Guest):
            found[WAITING] += waiting(actor)
        elif isinstance(actor, Load):
            found[ASKED] += actor.requests
    return dict(found)


def all_counts(actors: Iterable[Actor]) -> dict[str, int]:
    """Memory, and who is in a queue (workloads.inside)."""
    here = list(actors)
    return census(here) | inside(here)


def waiting(guest: Guest) -> int:
    """Requests of its load that no vCPU has come to."""
    return sum(len(task.requests()) for task in guest.queue)


def backlog(until: int, now: int, actors: Iterable[Actor]) -> int:
    """Such requests of all guests, once nobody asks for more; before, they are not worth a look at every actor."""
    return 0 if now < until else sum(waiting(actor) for actor in actors if isinstance(actor, Guest))


def _file(gmem: Gmem, found: Counter[str]) -> None:
    if dormant(gmem):
        return
    if gmem.tenancy is not msgspec.UNSET:  # counted with the file that had them before
        found["leaked_bytes"] -= gmem.tenancy.used * PAGE_BYTES
    for binding in gmem.bindings:
        start, end = binding.index, binding.index + binding.pages
        poisoned = gmem.poison.pages(start, end, 1) * PAGE_BYTES
        holes = sum(e - s for s, e, o in gmem.folios.runs(start, end) if o == HOLE) * PAGE_BYTES
        size = (end - start) * PAGE_BYTES
        found["poisoned_bytes"] += poisoned
        if gmem.released:
            found["leaked_bytes"] += size - poisoned if gmem.torn_down else holes
            continue
        shared = sum(
            gmem.share.pages(s, e, Share.SHARED)
            for s, e, order in gmem.folios.runs(start, end)
            if order != HOLE
        )
        found["leaked_bytes"] += holes  # they are free, and not lost
        found["punched_bytes"] += holes
        found["shared_bytes"] += shared * PAGE_BYTES
        found["private_bytes"] += size - holes - shared * PAGE_BYTES
        found["fragments"] += sum(1 for _ in gmem.share.runs(start, end))


WAITING, ASKED = "waiting_requests", "asked_requests"
KEYS = (
    "private_bytes",
    "shared_bytes",
    "punched_bytes",
    "fragments",
    "poisoned_bytes",
    "leaked_bytes",
    WAITING,
    ASKED,
)


def complete(counts: dict[str, int]) -> dict[str, int]:
    """With every key, also where nothing was counted."""
    return {key: counts.get(key, 0) for key in (*KEYS, *INSIDE)}
