"""Protocol C, two-phase with poison callback: the kernel thread's five steps as one table.

The mail's proposal, in our words (docs/domain.md section 4.C has the long form):

1. guest_memfd sends a pre-invalidation request to every user of the memory.
2. Users check whether they could let go: they allocate and split pages now, and unmap nothing.
3. By their answers guest_memfd aborts, or sends the invalidation itself.
4. Users unmap. This cannot fail; a bug in KVM or the TDX module poisons the page by a callback to guest_memfd.
5. guest_memfd completes: stores the shareability, restructures folios, keeps poisoned pages out of use.

Freezing comes before the question and thawing after the store, so that no fault sees a state in between. C' and C0
differ in a row or two.
"""

from actors.protocols.marks import MARKS
from actors.protocols.table import ALL, Row, Table, Variant, replaced
from actors.protocols.table import Event as E
from actors.protocols.table import Stage as S

# fmt: off
ROWS = (
    #   in            on               do                 then          step
    Row(S.WAITING,    E.LOCKED,        "reserve",         S.RESERVING,  "before 1: ilock, own memory"),
    Row(S.WAITING,    E.NOTHING_TO_DO, "reply_redundant", S.REPLIED,    "before 1: range has the state"),
    Row(S.WAITING,    E.NOT_POSSIBLE,  "reply",           S.REPLIED,    "before 1: poisoned or gone"),
    Row(S.RESERVING,  E.NO_MEMORY,     "reply",           S.REPLIED,    "before 1: ENOMEM, nothing begun"),
    Row(S.RESERVING,  E.RESERVED,      "freeze",          S.FREEZING,   "before 1: faults wait"),
    Row(S.FREEZING,   E.FROZEN,        "prepare_in_time", S.PREPARING,  "1: ask every user at once", ALL),
    Row(S.PREPARING,  E.READY,         "note",            S.PREPARING,  "2: this user can let go"),
    Row(S.PREPARING,  E.ALL_READY,     "decide_commit",   S.COMMITTING, "3: proceed; the decision", ALL),
    Row(S.PREPARING,  E.REFUSED,       "decide_abort",    S.ABORTING,   "3: abort; the decision", ALL),
    Row(S.PREPARING,  E.TIMED_OUT,     "decide_abort",    S.ABORTING,   "3: no answer counts as no", ALL),
    Row(S.ABORTING,   E.READY,         "note",            S.ABORTING,   "3: a late yes is void"),
    Row(S.ABORTING,   E.REFUSED,       "note",            S.ABORTING,   "3: a late no needs no abort"),
    Row(S.ABORTING,   E.ABORTED,       "note",            S.ABORTING,   "3: this user is as before"),
    Row(S.ABORTING,   E.ALL_ABORTED,   "thaw",            S.THAWING,    "3: everybody is as before"),
    Row(S.COMMITTING, E.POISONED,      "note",            S.COMMITTING, "4: a bug, and at which page"),
    Row(S.COMMITTING, E.COMMITTED,     "note",            S.COMMITTING, "4: this user has unmapped"),
    Row(S.COMMITTING, E.ALL_COMMITTED, "complete_thaw",   S.THAWING,    "5: store, restructure, thaw"),
    Row(S.THAWING,    E.THAWED,        "reply",           S.REPLIED,    "after 5: ilock, answer"),
)

FREEZE_LATE = Variant("freeze_at", "commit", (
    Row(S.RESERVING, E.RESERVED,    "prepare_in_time", S.PREPARING,  "1: ask every user at once", ALL),
    Row(S.PREPARING, E.ALL_READY,   "decide_freeze",   S.FREEZING,   "3: proceed; the decision"),
    Row(S.FREEZING,  E.FROZEN,      "commit",          S.COMMITTING, "3: faults wait from here", ALL),
    Row(S.ABORTING,  E.ALL_ABORTED, "reply",           S.REPLIED,    "3: everybody is as before"),
))

LOOK_AFTER = (
    Row(S.COMMITTING, E.ALL_COMMITTED, "await_quiet",   S.QUIETING, "5: wait for references, for ever"),
    Row(S.QUIETING,   E.UNCHANGED,     "complete_thaw", S.THAWING,  "5: no folio changes"),
    Row(S.QUIETING,   E.QUIET,         "complete_thaw", S.THAWING,  "5: store, restructure, thaw"),
)
MARKED = Variant("mark", "refcount", LOOK_AFTER)  # what a bug has left is met where folios change
LOOK_ONCE = Variant("post_commit_check", "fail-efault", (
    Row(S.COMMITTING, E.ALL_COMMITTED, "look_once",        S.CHECKING, "5: does a folio carry one more?"),
    Row(S.CHECKING,   E.QUIET,         "complete_thaw",    S.THAWING,  "5: store, restructure, thaw"),
    Row(S.CHECKING,   E.NOT_QUIET,     "fail_efault_thaw", S.THAWING,  "5: EFAULT, the old value stays"),
))
WITH_MEMORY = (
    Row(S.COMMITTING, E.ALL_COMMITTED, "reserve_mark",   S.MARKING, "4: the mark of a bug may want memory"),
    Row(S.MARKING,    E.RESERVED,      "complete_thaw",  S.THAWING, "5: store, restructure, thaw"),
    Row(S.MARKING,    E.NO_MEMORY,     "complete_short", S.THAWING, "5: the same, with a worse mark or none"),
)
# fmt: on
NAMED = tuple(Variant("mark", name, WITH_MEMORY) for name, mark in MARKS.items() if mark.takes)

TWO_PHASE = Table(
    "two-phase",
    "C: ask everybody, then abort or unmap without failure; a bug poisons the page by callback",
    ROWS,
    (FREEZE_LATE, MARKED, *NAMED),
)
TWO_PHASE_REFCOUNT = Table(
    "two-phase-refcount",
    "C': as C, but the only trace of a bug in COMMIT is a reference on the folio",
    replaced(ROWS, LOOK_AFTER),
    (FREEZE_LATE, LOOK_ONCE, *NAMED),
    (("mark", "refcount"), ("bug_on", False)),
)
TWO_PHASE_UNTRACED = Table(
    "two-phase-untraced",
    "C0: as C, but a bug in COMMIT only marks the VM dead (TDX huge pages v3)",
    ROWS,
    (FREEZE_LATE, MARKED, *NAMED),
    (("mark", "none"),),
)
