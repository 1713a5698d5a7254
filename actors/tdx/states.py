"""S-EPT entry states, SEAMCALLs and their lock rules, as tables (docs/domain.md section 2.3)."""

import enum
from typing import NamedTuple


class Entry(enum.IntEnum):
    """State of a secure EPT entry."""

    FREE = 0
    PENDING = 1
    MAPPED = 2
    BLOCKED = 3
    PENDING_BLOCKED = 4


class Call(enum.IntEnum):
    """SEAMCALLs that KVM issues on a range."""

    AUG = 0
    BLOCK = 1
    UNBLOCK = 2
    TRACK = 3
    REMOVE = 4
    DEMOTE = 5
    SEPT_ADD = 6
    SEPT_RD = 7  # reads entries; here, whether the guest holds them
    RECLAIM = 8  # PHYMEM.PAGE.RECLAIM, of a TD without HKID
    WBINVD = 9  # PHYMEM.PAGE.WBINVD: what caches have of a removed page with the TD's key


class Status(enum.IntEnum):
    """What a SEAMCALL answers."""

    OK = 0
    BUSY = 1
    INTERRUPTED = 2
    NOT_TRACKED = 3
    BUG = 4
    WRONG_STATE = 5  # the entry is not in a state that this call can change
    NO_PAMT = 6  # the pages for dynamic PAMT are missing
    IN_USE = (
        7  # the page is not free to go: by the PAMT, or because the guest holds it (trusted IO)
    )
    OWNED = 9  # the PAMT gives the page an owner: page metadata incorrect, to whoever would map it
    TIMED_OUT = 8  # no status of the module's: KVM stopped waiting, for a cache flush say


class Cause(enum.IntEnum):
    """Why a SEAMCALL is answered anything but OK."""

    CALLER = 0  # entries, epoch or pages are not what the caller took them for
    FAULT = 1  # a fault point struck
    LOCK = 2  # somebody else holds a lock that it needs, or a vCPU runs in the epoch before


class Lock(enum.IntEnum):
    """How a call takes the TD's S-EPT tree lock. All are single-try: who finds it held is told BUSY."""

    NONE = 0
    SHARED = 1
    EXCLUSIVE = 2


LEVEL_4K, LEVEL_2M = 1, 2
PAGES = {LEVEL_4K: 1, LEVEL_2M: 512}
TABLE_SPAN = {
    level: 512 * pages for level, pages in PAGES.items()
}  # pages under a table of such leaves


class Rule(NamedTuple):
    """Locks, legal state changes, cost names by level and fault points of one SEAMCALL."""

    tree: Lock
    moves: dict[int, int]
    tracked: bool  # must TRACK and a round of exits have passed since BLOCK?
    costs: dict[int, tuple[str, ...]]
    points: tuple[str, ...]
    serial: str = ""  # the part of a 4 KiB call that the TD's vCPUs cannot do side by side


BLOCKING: dict[int, int] = {Entry.MAPPED: Entry.BLOCKED, Entry.PENDING: Entry.PENDING_BLOCKED}
UNBLOCKING: dict[int, int] = {after: before for before, after in BLOCKING.items()}
REMOVING: dict[int, int] = {Entry.BLOCKED: Entry.FREE, Entry.PENDING_BLOCKED: Entry.FREE}
AUGMENTING: dict[int, int] = {Entry.FREE: Entry.PENDING}


def both(*names: str) -> dict[int, tuple[str, ...]]:
    """The same costs at either level."""
    return {LEVEL_4K: names, LEVEL_2M: names}


# Every call's first try may meet a lock of somebody outside the model (actors.tdx.contention).
# fmt: off
RULES: dict[int, Rule] = {
    Call.AUG:     Rule(Lock.SHARED, AUGMENTING, False,
                       {LEVEL_4K: ("aug_4k",), LEVEL_2M: ("aug_2m",)}, ("tdx.background", "tdx.aug_busy"),
                       serial="aug_serial_4k"),
    Call.BLOCK:   Rule(Lock.EXCLUSIVE, BLOCKING, False, both("block"),
                       ("tdx.background", "tdx.busy")),
    Call.UNBLOCK: Rule(Lock.EXCLUSIVE, UNBLOCKING, True, both("unblock"), ()),
    Call.TRACK:   Rule(Lock.NONE, {}, False, both("track"),
                       ("tdx.background", "tdx.track_busy")),
    Call.REMOVE:  Rule(Lock.SHARED, REMOVING, True,
                       {LEVEL_4K: ("remove_4k",), LEVEL_2M: ("remove_2m",)},
                       ("tdx.background", "tdx.remove_busy", "tdx.bug")),
    Call.WBINVD:  Rule(Lock.NONE, {}, False,  # and the host clears the page, where an erratum asks for it
                       {LEVEL_4K: ("wbinvd_4k", "clear_4k"), LEVEL_2M: ("flush_2m", "clear_2m")},
                       ("tdx.background", "tdx.wbinvd_busy")),
    Call.DEMOTE:  Rule(Lock.SHARED, UNBLOCKING, True, both("pamt_add_pair", "demote_2m"),
                       ("tdx.background", "tdx.demote_busy", "tdx.interrupted")),
    Call.SEPT_ADD: Rule(Lock.SHARED, {}, False, both("sept_add"), ("tdx.background", "tdx.sept_add_busy")),
    Call.RECLAIM: Rule(Lock.NONE, {}, False,
                       {LEVEL_4K: ("reclaim_4k", "clear_4k"), LEVEL_2M: ("reclaim_2m", "clear_2m")},
                       ()),
    Call.SEPT_RD: Rule(Lock.SHARED, {}, False, both("sept_rd"), ("tdx.background",)),
}
# fmt: on
