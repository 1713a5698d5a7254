"""What can fail where under a protocol, and for which reason: read off its table, so that a new one needs no word here.

A failure's phase is the stage that the conversion was in (workloads.meter); "map" is the VMM's mapping for its devices,
after the ioctl, "map_again" of what it had unmapped for one that failed. Consumers' reasons are those of docs/domain.md
section 3, and two more: no answer in time (section 4.C, step 4), and EIO where the VM had died before.
"""

import functools
from collections.abc import Iterator

from actors.contract import WORDS, Consumer, Share
from actors.contract import Reason as R
from actors.gmem.ask import ASKS
from actors.gmem.conversion import Verb
from actors.protocols import PROTOCOLS
from actors.protocols.table import ALL, Event, Row, Stage, Table

Reasons = tuple[R, ...]
Failures = tuple[tuple[str, str, Reasons], ...]

TO_UNMAP_DMA = (R.NO_MEMORY, R.REFERENCES, R.TIMEOUT, R.DEAD)
TO_MAP_DMA = (R.NO_MEMORY, R.DEAD)
# What a consumer can say no for, by what it is asked and the direction. What is not here it cannot refuse.
REFUSALS: dict[tuple[Verb, Share], dict[Consumer, Reasons]] = {
    (Verb.PREPARE, Share.SHARED): {
        Consumer.KVM_MMU: (R.NO_MEMORY, R.BUSY, R.INTERRUPTED, R.DEAD, R.BUG),
        Consumer.PINS: (R.REFERENCES,),
    },
    (Verb.PREPARE, Share.PRIVATE): {
        Consumer.KVM_MMU: (R.DEAD, R.BUG),
        Consumer.PINS: (R.REFERENCES,),
        Consumer.IOMMU: TO_UNMAP_DMA,
    },
    (Verb.INVALIDATE, Share.SHARED): {
        Consumer.KVM_MMU: (R.NO_MEMORY, R.REFERENCES, R.BUSY, R.INTERRUPTED, R.DEAD, R.BUG),
    },
    (Verb.INVALIDATE, Share.PRIVATE): {
        Consumer.KVM_MMU: (R.DEAD,),
        Consumer.PINS: (R.REFERENCES,),
        Consumer.IOMMU: TO_UNMAP_DMA,
    },
}
# More where everybody is asked: KVM looks for what a guest with trusted IO holds (vm.td_pinned).
LOOKED_FOR = {(Share.SHARED, Consumer.KVM_MMU): (R.REFERENCES,)}
# And what it tells of by callback, once it cannot refuse.
POISONS: dict[Consumer, Reasons] = {
    Consumer.KVM_MMU: (R.REFERENCES, R.BUSY, R.BUG),
    Consumer.IOMMU: (R.TIMEOUT,),
}
# guest_memfd's own: what an event of its table stands for.
OWN = {Event.NO_MEMORY: R.NO_MEMORY, Event.NOT_READDED: R.NO_MEMORY, Event.NOT_QUIET: R.BUG}
# Actions that forget a failure, or find it too late to count.
HIDDEN = {"cut_list", "undo_failed", "discard", "complete_short"}
Found = tuple[Stage, str, R]


def failures_of(protocol: str) -> Failures:
    """(phase, consumer, reasons) in the order of stages, whatever options are chosen."""
    return in_table(PROTOCOLS[protocol])


@functools.cache
def in_table(table: Table) -> Failures:
    """The same of any table."""
    rows = (*table.rows, *(row for variant in table.variants for row in variant.rows))
    found = [one for to in Share for one in in_direction(rows, to)]
    ordered = sorted(dict.fromkeys(found), key=lambda one: (one[0], names().index(one[1]), one[2]))
    places = dict.fromkeys((stage, who) for stage, who, _ in ordered)
    own = [
        (stage.name.lower(), who, tuple(r for s, w, r in ordered if (s, w) == (stage, who)))
        for stage, who in places
    ]
    return (*own, *(("map", "iommu", TO_MAP_DMA), ("map_again", "iommu", TO_MAP_DMA)))


def names() -> list[str]:
    """guest_memfd, then the consumers in their order."""
    return ["gmem", *dict.fromkeys(WORDS.values())]


def in_direction(rows: tuple[Row, ...], to: Share) -> Iterator[Found]:
    """What can fail on the way to this side, with repetitions."""
    ours = [row for row in rows if row.to in (None, to)]
    counted = [(row.stage, row.event) for row in ours if row.action not in HIDDEN]
    for stage, event in counted:
        if event in OWN:
            yield stage, "gmem", OWN[event]
    for row in ours:
        verb = ASKS.get(row.action, Verb.NONE)
        for consumer in row.who:
            who = WORDS[consumer]
            if (row.then, Event.REFUSED) in counted:
                for reason in REFUSALS.get((verb, to), {}).get(consumer, ()):
                    yield row.then, who, reason
                if verb is Verb.PREPARE and row.who == ALL:
                    for reason in LOOKED_FOR.get((to, consumer), ()):
                        yield row.then, who, reason
            if verb is Verb.PREPARE and (row.then, Event.TIMED_OUT) in counted:
                yield row.then, who, R.TIMEOUT
            if verb is Verb.COMMIT and (row.then, Event.POISONED) in counted:
                for reason in POISONS.get(consumer, ()):
                    yield row.then, who, reason
