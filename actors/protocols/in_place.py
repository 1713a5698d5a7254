"""Protocols B2 and B2H, in-place conversion: all that may fail comes first, then zap and store, which cannot.

docs/domain.md sections 4.B2 (v8 of the series, order-0 folios) and 4.B2H (the HugeTLB branch of December 2025 with its
fix-ups, one huge page at a time). B2H ends the invalidation before it stores: the window RW1.
"""

from actors.contract import Consumer
from actors.protocols.table import HOST, KVM, P2S, S2P, Row, Table, Variant
from actors.protocols.table import Event as E
from actors.protocols.table import Stage as S

MAY_REFUSE = (Consumer.PINS, Consumer.IOMMU)
MUST_LET_GO = (Consumer.KVM_MMU, Consumer.PINS, Consumer.IOMMU)

# fmt: off
CHECK_FIRST = (
    Row(S.WAITING,   E.NOT_POSSIBLE,  "reply",           S.REPLIED,   "1: gone"),
    Row(S.RESERVING, E.NO_MEMORY,     "reply",           S.REPLIED,   "3: ENOMEM, nothing begun"),
    Row(S.RESERVING, E.RESERVED,      "freeze_range",    S.FREEZING,  "5: faults wait", (), P2S),
    Row(S.RESERVING, E.RESERVED,      "commit",          S.UNMAPPING, "4: unmap the host", HOST, S2P),
    Row(S.UNMAPPING, E.COMMITTED,     "note",            S.UNMAPPING, "4: unmapped"),
    Row(S.UNMAPPING, E.ALL_COMMITTED, "prepare",         S.CHECKING,  "4: references, drained once", MAY_REFUSE),
    Row(S.CHECKING,  E.READY,         "note",            S.CHECKING,  "4: none here"),
    Row(S.CHECKING,  E.ALL_READY,     "freeze_range",    S.FREEZING,  "5: faults wait"),
    Row(S.CHECKING,  E.REFUSED,       "abort",           S.ABORTING,  "4: EAGAIN, host unmapped", MAY_REFUSE),
    Row(S.ABORTING,  E.READY,         "note",            S.ABORTING,  "4: too late"),
    Row(S.ABORTING,  E.REFUSED,       "note",            S.ABORTING,  "4: too late"),
    Row(S.ABORTING,  E.ABORTED,       "note",            S.ABORTING,  "4: taken back"),
)

IN_PLACE_ROWS = (
    #   in          on               do                 then         step
    Row(S.WAITING,  E.LOCKED,        "reserve_tree",    S.RESERVING, "1, 3: ilock; tree nodes"),
    Row(S.WAITING,  E.NOTHING_TO_DO, "reply_redundant", S.REPLIED,   "2: range has the state"),
    *CHECK_FIRST,
    Row(S.ABORTING, E.ALL_ABORTED,   "reply",           S.REPLIED,   "4: EAGAIN with the offset"),
    Row(S.FREEZING, E.FROZEN,        "pass_no_return",  S.ZAPPING,   "5: point of no return", MUST_LET_GO),
    Row(S.ZAPPING,  E.COMMITTED,     "note",            S.ZAPPING,   "5: zapped"),
    Row(S.ZAPPING,  E.ALL_COMMITTED, "complete_thaw",   S.THAWING,   "6, 7: store, then INV_END"),
    Row(S.THAWING,  E.THAWED,        "reply",           S.REPLIED,   "8: ilock, answer"),
)

HUGE_ROWS = (
    #   in               on               do                 then             step
    Row(S.WAITING,       E.LOCKED,        "list_huge",       S.LISTING,       "1, 2: ilock; a batch a huge page"),
    Row(S.WAITING,       E.NOTHING_TO_DO, "reply_redundant", S.REPLIED,       "1: range has the state"),
    Row(S.LISTING,       E.LISTED,        "reserve_tree",    S.RESERVING,     "3: tree nodes"),
    *CHECK_FIRST,
    Row(S.ABORTING,      E.ALL_ABORTED,   "reply",           S.REPLIED,       "4: EAGAIN; earlier batches stay"),
    Row(S.FREEZING,      E.FROZEN,        "prepare",         S.SPLITTING,     "6: split boundary leaves", KVM, P2S),
    Row(S.FREEZING,      E.FROZEN,        "commit",          S.ZAPPING,       "7: zap, cannot fail", MUST_LET_GO, S2P),
    Row(S.SPLITTING,     E.READY,         "note",            S.SPLITTING,     "6: split"),
    Row(S.SPLITTING,     E.ALL_READY,     "commit",          S.ZAPPING,       "7: zap, cannot fail", MUST_LET_GO),
    Row(S.SPLITTING,     E.REFUSED,       "thaw",            S.THAWING,       "6: INV_END, error"),
    Row(S.ZAPPING,       E.COMMITTED,     "note",            S.ZAPPING,       "7: zapped"),
    Row(S.ZAPPING,       E.ALL_COMMITTED, "thaw",            S.THAWING,       "7: INV_END, before the store"),
    Row(S.THAWING,       E.THAWED,        "after_thaw",      S.QUIETING,      "8: goes on, or ends an error"),
    Row(S.QUIETING,      E.FAILED,        "reply",           S.REPLIED,       "10: error; earlier batches stay"),
    Row(S.QUIETING,      E.GO_ON,         "await_quiet",     S.QUIETING,      "8: spin while there are references"),
    Row(S.QUIETING,      E.UNCHANGED,     "store",           S.STORING,       "9: no folio changes"),
    Row(S.QUIETING,      E.QUIET,         "reserve_folios",  S.RESTRUCTURING, "8: vmemmap"),
    Row(S.RESTRUCTURING, E.NO_MEMORY,     "reply",           S.REPLIED,       "8: merged back; zapped, not stored"),
    Row(S.RESTRUCTURING, E.RESERVED,      "restructure",     S.RESTRUCTURING, "8: split or merge"),
    Row(S.RESTRUCTURING, E.NOT_READDED,   "rejoin",          S.REJOINING,     "8: entry merged back, no memory needed"),
    Row(S.REJOINING,     E.REJOINED,      "reply",           S.REPLIED,       "8: zapped, not stored"),
    Row(S.RESTRUCTURING, E.RESTRUCTURED,  "store",           S.STORING,       "9: store, no allocation"),
    Row(S.STORING,       E.STORED,        "next_range",      S.STORING,       "2: this batch is done"),
    Row(S.STORING,       E.NEXT,          "reserve_tree",    S.RESERVING,     "2: the next batch"),
    Row(S.STORING,       E.LAST,          "reply",           S.REPLIED,       "10: ilock, answer"),
)

AFTER_STORE = (
    Row(S.STORING,       E.FAILED,    "reply",      S.REPLIED, "10: error; earlier batches stay"),
    Row(S.RESTRUCTURING, E.NO_MEMORY, "thaw",       S.THAWING, "8: entry merged back"),
    Row(S.REJOINING,     E.REJOINED,  "thaw",       S.THAWING, "8: entry merged back"),
    Row(S.THAWING,       E.THAWED,    "after_thaw", S.STORING, "2: goes on, or ends an error"),
)
STORE_FIRST = Variant("store_first", True, (
    *AFTER_STORE,
    Row(S.ZAPPING, E.ALL_COMMITTED, "await_quiet", S.QUIETING, "8: spin while there are references"),
    Row(S.STORING, E.STORED,        "thaw",        S.THAWING,  "7: INV_END after the store"),
    Row(S.STORING, E.GO_ON,         "next_range",  S.STORING,  "2: this batch is done"),
))
FOLIO_FIRST = Variant("zap_first", False, tuple(row._replace(to=P2S) for row in (
    *AFTER_STORE,
    Row(S.FREEZING,      E.FROZEN,       "await_quiet", S.QUIETING,  "8 before 6: spin"),
    Row(S.QUIETING,      E.UNCHANGED,    "prepare",     S.SPLITTING, "6: split boundary leaves", KVM),
    Row(S.RESTRUCTURING, E.RESTRUCTURED, "prepare",     S.SPLITTING, "6: the folio is split under its leaf", KVM),
    Row(S.SPLITTING,     E.REFUSED,      "rejoin",      S.REJOINING, "6: the folio is merged back"),
    Row(S.STORING,       E.GO_ON,        "store",       S.STORING,   "9: store, no allocation"),
)))
# fmt: on

IN_PLACE = Table(
    "in-place",
    "B2: all that may fail first, then zap and store, which cannot; 4 KiB folios only (v8)",
    IN_PLACE_ROWS,
    (),
    (("mark", "none"), ("waits", False)),
)
IN_PLACE_HUGE = Table(
    "in-place-huge",
    "B2H: B2 with S-EPT split and huge folios, one huge page at a time (work in progress, December 2025)",
    HUGE_ROWS,
    (STORE_FIRST, FOLIO_FIRST),
    (
        ("mark", "none"),
        ("prepare_busy", "bug"),
        ("stash", "at-allocation"),
        ("prefix", True),
        ("waits", False),
    ),
)
