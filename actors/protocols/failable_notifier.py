"""Protocol A, failable notifier: consumers are told one by one, each unmaps and may fail; a failure stops the round.

docs/domain.md section 4.A. What was unmapped before the failure stays unmapped (`on_error = leave`), or is asked for
again in reverse order (`remap`), which may fail too and is only logged.
"""

from actors.protocols.table import ALL, Row, Table, Variant
from actors.protocols.table import Event as E
from actors.protocols.table import Stage as S

# fmt: off
ROWS = (
    #   in               on                 do                 then             step
    Row(S.WAITING,       E.LOCKED,          "freeze",          S.FREEZING,      "1: ilock; faults wait"),
    Row(S.WAITING,       E.NOTHING_TO_DO,   "reply_redundant", S.REPLIED,       "1: range has the state"),
    Row(S.WAITING,       E.NOT_POSSIBLE,    "reply",           S.REPLIED,       "1: gone"),
    Row(S.FREEZING,      E.FROZEN,          "invalidate",      S.INVALIDATING,  "2: the first consumer", ALL),
    Row(S.INVALIDATING,  E.INVALIDATED,     "invalidate_next", S.INVALIDATING,  "2: OK, the next one"),
    Row(S.INVALIDATING,  E.REFUSED,         "thaw",            S.THAWING,       "3: ERR, stop; others have unmapped"),
    Row(S.INVALIDATING,  E.ALL_INVALIDATED, "reserve_store",   S.STORING,       "4: all OK"),
    Row(S.STORING,       E.NO_MEMORY,       "thaw",            S.THAWING,       "4: no tree node, as in 3"),
    Row(S.STORING,       E.RESERVED,        "store",           S.STORING,       "4: store"),
    Row(S.STORING,       E.STORED,          "await_quiet",     S.QUIETING,      "5: wait for references, for ever"),
    Row(S.QUIETING,      E.UNCHANGED,       "thaw",            S.THAWING,       "5: no folio changes"),
    Row(S.QUIETING,      E.QUIET,           "reserve_folios",  S.RESTRUCTURING, "5: vmemmap, stash"),
    Row(S.RESTRUCTURING, E.NO_MEMORY,       "unstore_thaw",    S.THAWING,       "5: as in 3, store taken back"),
    Row(S.RESTRUCTURING, E.RESERVED,        "restructure",     S.RESTRUCTURING, "5: split or merge"),
    Row(S.RESTRUCTURING, E.NOT_READDED,     "unstore_thaw",    S.THAWING,       "5: half of the folios are split"),
    Row(S.RESTRUCTURING, E.RESTRUCTURED,    "thaw",            S.THAWING,       "5: done"),
    Row(S.THAWING,       E.THAWED,          "reply",           S.REPLIED,       "6: ilock, answer"),
)

REMAP = Variant("on_error", "remap", (
    Row(S.INVALIDATING, E.REFUSED,      "remap",      S.REMAPPING, "3: who said OK maps again"),
    Row(S.STORING,      E.NO_MEMORY,    "remap",      S.REMAPPING, "4: no tree node, as in 3"),
    Row(S.REMAPPING,    E.REMAPPED,     "remap_next", S.REMAPPING, "3: in reverse order"),
    Row(S.REMAPPING,    E.ALL_REMAPPED, "thaw",       S.THAWING,   "3: failures are only logged"),
))
# fmt: on

FAILABLE_NOTIFIER = Table(
    "failable-notifier",
    "A: consumers unmap one by one and may fail; the first failure stops the round",
    ROWS,
    (REMAP,),
    # Kernels before and after June 2025: the reference on a fatal unmap error is a proof of concept of that month.
    (("mark", "mixed"),),
)
