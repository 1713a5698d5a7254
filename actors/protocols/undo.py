"""Protocols B and B1: do everything step by step, and on an error run the inverse of what was done (1G RFC v2).

docs/domain.md sections 4.B and 4.B1. Shareability and folios are undone; S-EPT, shared EPT, host page tables are not.
B1 splits boundary leaves first, where it can be reported, and zaps without failure: over all files, or file by file
(`per_file`, as the proof of concept of June 2025 had it).
"""

from actors.contract import Consumer
from actors.protocols.table import KVM, P2S, S2P, Row, Table, Variant, replaced
from actors.protocols.table import Event as E
from actors.protocols.table import Stage as S

# The host's page tables, with the notifier that zaps the shared EPT; then the references; whoever else maps comes last.
FROM_SHARED = (Consumer.HOST_MAP, Consumer.KVM_MMU, Consumer.PINS, Consumer.IOMMU)

# fmt: off
ROWS = (
    #   in               on                 do                 then             step
    Row(S.WAITING,       E.LOCKED,          "list_ranges",     S.LISTING,       "1, 2: ilock; what differs"),
    Row(S.WAITING,       E.NOTHING_TO_DO,   "reply_redundant", S.REPLIED,       "2: range has the state"),
    Row(S.WAITING,       E.NOT_POSSIBLE,    "reply",           S.REPLIED,       "1: gone"),
    Row(S.LISTING,       E.NO_MEMORY,       "cut_list",        S.LISTING,       "2: hidden, the list is cut"),
    Row(S.LISTING,       E.LAST,            "reply",           S.REPLIED,       "2: nothing is on it: success"),
    Row(S.LISTING,       E.LISTED,          "freeze_range",    S.FREEZING,      "3: faults in the range wait"),
    Row(S.FREEZING,      E.FROZEN,          "next_range",      S.FREEZING,      "3: one after the other"),
    Row(S.FREEZING,      E.NEXT,            "freeze_range",    S.FREEZING,      "3: the next range"),
    Row(S.FREEZING,      E.LAST,            "invalidate",      S.INVALIDATING,  "4: zap, result discarded", KVM, P2S),
    Row(S.FREEZING,      E.LAST,            "invalidate",      S.INVALIDATING,  "4: unmap, look", FROM_SHARED, S2P),
    Row(S.INVALIDATING,  E.INVALIDATED,     "invalidate_next", S.INVALIDATING,  "4: the next one"),
    Row(S.INVALIDATING,  E.REFUSED,         "discard",         S.INVALIDATING,  "4: discarded", (), P2S),
    Row(S.INVALIDATING,  E.REFUSED,         "thaw",            S.THAWING,       "4: EAGAIN, host unmapped", (), S2P),
    Row(S.INVALIDATING,  E.ALL_INVALIDATED, "next_range",      S.INVALIDATING,  "4: this range is unmapped"),
    Row(S.INVALIDATING,  E.NEXT,            "invalidate",      S.INVALIDATING,  "4: the next range", KVM, P2S),
    Row(S.INVALIDATING,  E.NEXT,            "invalidate",      S.INVALIDATING,  "4: the next range", FROM_SHARED, S2P),
    Row(S.INVALIDATING,  E.LAST,            "reserve_store",   S.STORING,       "5: the first range again"),
    Row(S.STORING,       E.NO_MEMORY,       "undo",            S.UNDOING,       "5: no tree node"),
    Row(S.STORING,       E.RESERVED,        "store",           S.STORING,       "5: store"),
    Row(S.STORING,       E.STORED,          "await_quiet",     S.QUIETING,      "5: spin while there are references"),
    Row(S.QUIETING,      E.UNCHANGED,       "next_range",      S.RESTRUCTURING, "5: no folio changes"),
    Row(S.QUIETING,      E.QUIET,           "reserve_folios",  S.RESTRUCTURING, "5: vmemmap, stash"),
    Row(S.RESTRUCTURING, E.NO_MEMORY,       "undo",            S.UNDOING,       "5: no vmemmap"),
    Row(S.RESTRUCTURING, E.RESERVED,        "restructure",     S.RESTRUCTURING, "5: split or merge, add folios again"),
    Row(S.RESTRUCTURING, E.NOT_READDED,     "rejoin",          S.REJOINING,     "5: local undo; may lose the folio"),
    Row(S.RESTRUCTURING, E.RESTRUCTURED,    "next_range",      S.RESTRUCTURING, "5: this range is done"),
    Row(S.RESTRUCTURING, E.NEXT,            "reserve_store",   S.STORING,       "5: the next range"),
    Row(S.RESTRUCTURING, E.LAST,            "thaw",            S.THAWING,       "7: all done"),
    Row(S.REJOINING,     E.REJOINED,        "undo",            S.UNDOING,       "6: this range and those before it"),
    Row(S.UNDOING,       E.NO_MEMORY,       "undo_failed",     S.UNDOING,       "6: a WARNING, the state is left"),
    Row(S.UNDOING,       E.RESERVED,        "undo_range",      S.UNDOING,       "6: 5 in the other direction"),
    Row(S.UNDOING,       E.UNDONE,          "undo_next",       S.UNDOING,       "6: the range before it"),
    Row(S.UNDOING,       E.LAST,            "thaw",            S.THAWING,       "7: page tables are not restored"),
    Row(S.THAWING,       E.THAWED,          "reply",           S.REPLIED,       "7: ilock, answer"),
)

REPORT_ENOMEM = Variant("swallow_enomem", False, (
    Row(S.LISTING, E.NO_MEMORY, "reply_enomem", S.REPLIED, "2: ENOMEM"),
))

SPLIT_FIRST = (
    Row(S.FREEZING,     E.LAST,          "prepare",          S.SPLITTING,    "4a: split boundary leaves", KVM, P2S),
    Row(S.SPLITTING,    E.READY,         "note",             S.SPLITTING,    "4a: split"),
    Row(S.SPLITTING,    E.ALL_READY,     "commit",           S.ZAPPING,      "4b: zap, cannot fail", KVM),
    Row(S.SPLITTING,    E.REFUSED,       "thaw",             S.THAWING,      "4a: earlier ranges are zapped"),
    Row(S.ZAPPING,      E.COMMITTED,     "note",             S.ZAPPING,      "4b: zapped"),
    Row(S.ZAPPING,      E.ALL_COMMITTED, "look_once",        S.CHECKING,     "4c: is there one reference more?"),
    Row(S.CHECKING,     E.NOT_QUIET,     "fail_efault_thaw", S.THAWING,      "4c: EFAULT"),
    Row(S.CHECKING,     E.QUIET,         "next_range",       S.INVALIDATING, "4c: no"),
    Row(S.INVALIDATING, E.NEXT,          "prepare",          S.SPLITTING,    "4a: the next range", KVM, P2S),
)
PER_FILE = Variant("per_file", True, (
    Row(S.FREEZING,     E.LAST,          "split_file",       S.SPLITTING,    "4a: split for the first file", KVM, P2S),
    Row(S.SPLITTING,    E.ALL_READY,     "zap_file",         S.ZAPPING,      "4b: zap for this file", KVM),
    Row(S.SPLITTING,    E.REFUSED,       "thaw",             S.THAWING,      "4a: earlier files are zapped"),
    Row(S.ZAPPING,      E.ALL_COMMITTED, "next_file",        S.ZAPPING,      "4b: this file is done"),
    Row(S.ZAPPING,      E.NEXT,          "split_next_file",  S.SPLITTING,    "4a: the next file"),
    Row(S.ZAPPING,      E.LAST,          "look_once",        S.CHECKING,     "4c: is there one reference more?"),
    Row(S.INVALIDATING, E.NEXT,          "split_file",       S.SPLITTING,    "4a: the next range", KVM, P2S),
))
# fmt: on

UNDO = Table(
    "undo",
    "B: do everything step by step, on an error run the inverse of the steps done (1G RFC v2)",
    ROWS,
    (REPORT_ENOMEM,),
    (("mark", "mixed"), ("zap_whole", True)),
)
UNDO_SPLIT_FIRST = Table(
    "undo-split-first",
    "B1: as B, with boundary leaves split first and reported, zap without failure, references looked at after it",
    replaced(tuple(row for row in ROWS if row.action != "discard"), SPLIT_FIRST),
    (REPORT_ENOMEM, PER_FILE),
    (("mark", "refcount"), ("bug_on", True), ("prepare_busy", "bug")),
)
