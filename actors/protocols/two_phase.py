"""Protocol C, two-phase with poison callback: the kernel thread's five steps as one table.

The mail's proposal, in our words (docs/domain.md section 4.C has the long form):

1. guest_memfd sends a pre-invalidation request to every user of the memory.
2. Users check whether they could let go: they allocate and split pages now, and unmap nothing.
3. By their answers guest_memfd aborts, or sends the invalidation itself.
4. Users unmap. This cannot fail; a bug in KVM or the TDX module poisons the page by a callback to guest_memfd.
5. guest_memfd completes: stores the shareability, restructures folios, keeps poisoned pages out of use.

Freezing comes before the question and thawing after the store, so that no fault sees a state in between.
"""

from actors.protocols.table import Event as E
from actors.protocols.table import Row, Table
from actors.protocols.table import Stage as S

# fmt: off
TWO_PHASE = Table("two-phase", (
    #   in             on                 do                   then           mail: step
    Row(S.WAITING,    E.LOCKED,          "reserve",           S.RESERVING,  "before 1: ilock, own memory"),
    Row(S.WAITING,    E.NOTHING_TO_DO,   "reply_redundant",   S.REPLIED,    "before 1: range has the state"),
    Row(S.WAITING,    E.NOT_POSSIBLE,    "reply",             S.REPLIED,    "before 1: poisoned or gone"),
    Row(S.RESERVING,  E.NO_MEMORY,       "reply",             S.REPLIED,    "before 1: ENOMEM, nothing begun"),
    Row(S.RESERVING,  E.RESERVED,        "freeze",            S.FREEZING,   "before 1: faults wait"),
    Row(S.FREEZING,   E.FROZEN,          "prepare_all",       S.PREPARING,  "1: ask every user at once"),
    Row(S.PREPARING,  E.READY,           "note_ready",        S.PREPARING,  "2: this user can let go"),
    Row(S.PREPARING,  E.ALL_READY,       "commit_all",        S.COMMITTING, "3: proceed; the decision"),
    Row(S.PREPARING,  E.REFUSED,         "abort_all",         S.ABORTING,   "3: abort; the decision"),
    Row(S.PREPARING,  E.TIMED_OUT,       "abort_all",         S.ABORTING,   "3: no answer counts as no"),
    Row(S.ABORTING,   E.READY,           "ignore",            S.ABORTING,   "3: a late yes is void"),
    Row(S.ABORTING,   E.REFUSED,         "note_late_refusal", S.ABORTING,   "3: a late no needs no abort"),
    Row(S.ABORTING,   E.ABORTED,         "note_settled",      S.ABORTING,   "3: this user is as before"),
    Row(S.ABORTING,   E.ALL_ABORTED,     "give_back_thaw",    S.THAWING,    "3: everybody is as before"),
    Row(S.COMMITTING, E.POISONED,        "remember_poison",   S.COMMITTING, "4: a bug, told by callback"),
    Row(S.COMMITTING, E.COMMITTED,       "note_settled",      S.COMMITTING, "4: this user has unmapped"),
    Row(S.COMMITTING, E.ALL_COMMITTED,   "complete_thaw",     S.THAWING,    "5: store, restructure, thaw"),
    Row(S.THAWING,    E.THAWED,          "reply",             S.REPLIED,    "after 5: ilock, answer"),
))
# fmt: on
