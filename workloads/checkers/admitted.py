"""Which anomaly each protocol admits, and which invariant it therefore cannot keep: docs/domain.md section 5 as data.

Y can occur, b only with a bug in COMMIT (F6), w only in a window or with a parameter, - cannot by construction,
n the mechanism is absent. WINDOWS says what opens a w, and what a parameter changes in any other cell.
"""

from collections.abc import Mapping
from typing import NamedTuple

from actors.contract import TELLS
from actors.protocols import PROTOCOLS
from actors.protocols.marks import MARKS

Settings = Mapping[str, str]
"""A run's keys and their values as text. A key that is not there is at its default."""

# In the order of PROTOCOLS: A, B, B1, B2, B2H, C, C', C0.
ROWS: dict[str, str] = {
    "AN1": "YYwbY-w-",
    "AN2": "Ywwwwwww",
    "AN3": "YYwbY-w-",
    "AN4": "-YY-----",
    "AN5": "-YYn----",
    "AN6": "-YYn----",
    "AN7": "YYYn-www",
    "AN8": "YYYYYwww",
    "AN9": "wYwnY-Y-",
    "AN10": "bbb---b-",
    "AN11": "bb-bb--b",
    "AN12": "YYYYYYYY",
    "AN13": "Y-------",
    "AN14": "Y-------",
    "AN15": "YYYnYYYY",
    "AN16": "YYYYYYYY",
    "AN17": "nnwnwwww",
    "AN18": "YYYYYYYY",
    "AN19": "-YY-----",
    "AN20": "----Y---",
    "AN21": "-w-nY---",
    "AN22": "----Y---",
    "AN23": "YYYYYYYY",
    "AN24": "YYYYYYYY",
    "AN25": "YYYYYYYY",
    "AN26": "w----www",
    "AN27": "wwwwwwww",
    "AN28": "nYYYYwww",
}
CANNOT = "-n"
# An invariant holds for a protocol unless that protocol admits one of these (docs/domain.md section 6).
PAIRED: dict[str, tuple[str, ...]] = {
    "I1": ("AN19", "AN20"),
    "I2": ("AN20",),
    "I3": ("AN11",),
    "I4": ("AN11",),
    "I5": ("AN5",),
    "I6": ("AN4",),  # B, B1: an undo that fails between store and split
    "I7": ("AN21",),
    "I8": ("AN6",),
    "I9": ("AN19",),  # told of a success that was none, the VMM has devices hold what is private
    "I10": ("AN4", "AN5", "AN6", "AN7"),
    "I11": ("AN3",),
    "I13": ("AN1",),
    "I17": ("AN20",),
    "I18": ("AN13", "AN14"),
    "I22": ("AN19",),
    "L1": ("AN9",),
    "L2": ("AN9",),
    "L5": ("AN9",),  # C': faults in the range of a conversion that spins wait as long as it does
}


class When(NamedTuple):
    """Open while the key has one of the values; `own` is what it is when the scenario does not say.

    `also` has to be open with it.
    """

    key: str
    values: tuple[str, ...]
    own: str
    also: "When | None" = None

    def open(self, settings: Settings) -> bool:
        """In a run with these settings?"""
        here = settings.get(self.key, self.own) in self.values
        return here and (self.also is None or self.also.open(settings))

    @property
    def text(self) -> str:
        """For people; nothing where the default is enough."""
        own = "" if self.own in self.values else f"{self.key}={' or '.join(self.values)}"
        return f"{own} with {self.also.text}" if self.also and self.also.text else own


class Window(NamedTuple):
    """What opens a cell: a setting, or nothing (None), or nothing can (NEVER); and why."""

    check: str
    protocols: tuple[str, ...]
    when: When | None
    why: str


A, B, B1, B2, B2H, C, CR, C0 = PROTOCOLS  # CR is C', that leaves references
EVERY = (A, B, B1, B2, B2H, C, CR, C0)
C_FAMILY = (C, CR, C0)
NEVER = When("", (), "")
MARKED = When("protocol.mark", ("refcount", "protocol", "mixed"), "protocol")
UNMARKED = When("protocol.mark", ("none", "mixed"), "protocol")
BARE = When("protocol.mark", ("none", "protocol", "mixed"), "protocol")
COUNTED = When("protocol.mark", ("refcount", "mixed"), "protocol")
ALIVE = When("protocol.bug_on", ("no",), "protocol")
LIVES_ON = When("protocol.bug_on", ("no", "protocol"), "protocol")
# Marks that may say nothing of a page in a huge folio.
UNSURE = ("page-flag", "split-flag")
LOST = When("protocol.mark", ("none", "mixed", *UNSURE), "protocol")
BARE_OR_LOST = When("protocol.mark", ("none", "protocol", "mixed", *UNSURE), "protocol")
UNTOLD = When(
    "protocol.bug_on",
    ("no",),
    "protocol",
    When("protocol.mark", ("none", "refcount", "mixed", *UNSURE), "protocol"),
)
# With any of these the conversion is refused after COMMIT, and a VM that has met the bug may live.
NAMED = tuple(name for name, mark in MARKS.items() if mark.trace in TELLS)
TOLD_OF = When("protocol.mark", NAMED, "protocol", ALIVE)
TOLD_OF_BY_ITSELF = When("protocol.mark", NAMED, "protocol", LIVES_ON)
SPLIT = When("protocol.mark", ("split-flag",), "protocol", ALIVE)
SPLIT_BY_ITSELF = When("protocol.mark", ("split-flag",), "protocol", LIVES_ON)
LOOKS = When("protocol.post_commit_check", ("fail-efault",), "none")
LOOKS_NOT = When("protocol.post_commit_check", ("none",), "none")
PINNED = When("vm.iommu", ("pin",), "notify")
APART = When("vm.backend", ("two-backends",), "in-place")
UNMAP_EARLY = When("protocol.iommu_prepare", ("unmap-early",), "check-only")
FREEZE_LATE = When("protocol.freeze_at", ("commit",), "prepare")
SWALLOW = When("protocol.swallow_enomem", ("true",), "true")
STORE_LATE = When("protocol.store_first", ("false",), "false")
UNIFORM = When("protocol.uniform_split", ("true",), "false")
SPLIT_FIRST = When("protocol.zap_first", ("no", "mixed"), "yes")
REST_STORED = When("protocol.on_poison", ("proceed-rest",), "bail")
REST_STORED_ALIVE = REST_STORED._replace(also=ALIVE)
REST_STORED_TOLD = REST_STORED._replace(also=When("protocol.mark", NAMED, "protocol"))
REST_STORED_TOLD_ALIVE = REST_STORED._replace(also=TOLD_OF)
REST_STORED_TOLD_OWN = REST_STORED._replace(also=TOLD_OF_BY_ITSELF)
MM_FAILS = When("protocol.notifier_scope", ("mmu_notifier",), "mmu_notifier")

# fmt: off
WINDOWS = (
    Window("AN1", (B1,), None, "a later range fails after the first ones are zapped, or EFAULT comes after the zap"),
    Window("AN1", (C,), ALIVE, "the VM outlives a bug in COMMIT and has lost what was unmapped before it"),
    Window("AN1", (CR,), LOOKS, "EFAULT leaves the old share to what was unmapped"),
    Window("AN1", (CR,), TOLD_OF_BY_ITSELF, "as C, whose marks these are"),
    Window("AN1", (C0,), TOLD_OF, "as C, whose marks these are"),
    Window("AN2", (B, B1, B2H), None, "the IOMMU has unmapped when a later step fails"),
    Window("AN2", (B2, *C_FAMILY), UNMAP_EARLY, "a device comes between PREPARE, where the IOMMU unmaps, and ABORT"),
    Window("AN2", (B2, *C_FAMILY), PINNED, "the VMM unmaps what is pinned before it asks, and is refused"),
    Window("AN3", (B1,), None, "as AN1"),
    Window("AN3", (C,), ALIVE, "as AN1"),
    Window("AN3", (CR,), LOOKS, "as AN1"),
    Window("AN3", (CR,), TOLD_OF_BY_ITSELF, "as AN1"),
    Window("AN3", (C0,), TOLD_OF, "as AN1"),
    Window("AN4", (C,), REST_STORED, "a bug in COMMIT is reported, and all but its pages is stored"),
    Window("AN4", (CR, C0), REST_STORED_TOLD, "as C, whose marks these are"),
    Window("AN7", (C,), REST_STORED_ALIVE, "as AN4, in a VM that lives"),
    Window("AN7", (C0,), REST_STORED_TOLD_ALIVE, "as C"),
    Window("AN7", (CR,), REST_STORED_TOLD_OWN, "as C"),
    Window("AN7", (C, C0), SPLIT, "a folio is split for the mark alone"),
    Window("AN7", (CR,), SPLIT_BY_ITSELF, "as C"),
    Window("AN8", C_FAMILY, NEVER, "what is cleared in PREPARE is back, from a list, before ABORT is acknowledged"),
    Window("AN9", (A, B1), None, "a reference is taken after the only look at them, or is never dropped"),
    Window("AN9", (C, C0), COUNTED, "as C'"),
    Window("AN9", (CR,), LOOKS_NOT, "nobody looks before the counts are frozen"),
    Window("AN10", (A, CR), MARKED, "a reference is the only mark of a page that could not be unmapped"),
    Window("AN10", (B2, B2H, C, C0), COUNTED, "as C'"),
    Window("AN11", (A, B), BARE, "one host of two does not mark a page that could not be unmapped"),
    Window("AN11", (B1,), UNMARKED, "nothing keeps a page that could not be unmapped"),
    Window("AN11", (C, CR), LOST, "nothing keeps a page that could not be unmapped, or the mark is lost"),
    Window("AN11", (B2, B2H), BARE, "nothing keeps a page that could not be unmapped"),
    Window("AN11", (C0,), BARE_OR_LOST, "nothing keeps a page that could not be unmapped, or the mark is lost"),
    Window("AN13", (A,), MM_FAILS, "callbacks of the mm may fail, and not guest_memfd's alone"),
    Window("AN14", (A,), MM_FAILS, "as AN13"),
    Window("AN17", (B1, B2H), NEVER, "faults in the range wait from before the split"),
    Window("AN17", C_FAMILY, FREEZE_LATE, "faults are let in until the decision"),
    Window("AN19", (B, B1), SWALLOW, "an inner variable hides that the list could not be made"),
    Window("AN20", (B2H,), STORE_LATE, "RW1: the invalidation ends before the store"),
    Window("AN21", (B2H,), SPLIT_FIRST, "the branch without its fix-ups"),
    Window("AN21", (A, B, B1, B2H, *C_FAMILY), UNIFORM, "a 1 GiB folio becomes small at once, under leaves of 2 MiB"),
    Window("AN26", (A, *C_FAMILY), NEVER, "attributes are read without a lock, as later versions of the series do"),
    Window("AN27", EVERY, APART, "the VMM discards the shared side although a device may still use it"),
    Window("AN28", C_FAMILY, None, "a second BUSY, or a page held again; with check-only an invalidation that hangs"),
    Window("I21", (A, B, B1, B2H), None, "what was unmapped for devices, or stored, stays so when a later step fails"),
    Window("I21", (C,), REST_STORED, "as AN4: the VMM knows of no part that is stored"),
    Window("I21", (CR, C0), REST_STORED_TOLD, "as AN4"),
    Window("I2", (CR,), LIVES_ON, "a VM lives with a page that both sides map: small folios are not looked at"),
    Window("I2", (B1, B2, B2H, C0), ALIVE, "as C'"),
    Window("I2", (C,), UNTOLD, "as C'"),
)
# fmt: on
_WINDOWS: dict[tuple[str, str], list[When | None]] = {}
for _window in WINDOWS:
    for _protocol in _window.protocols:
        _WINDOWS.setdefault((_window.check, _protocol), []).append(_window.when)


def opening(check: str, protocol: str) -> list[When | None]:
    """What lets the protocol show this anomaly, or break this invariant, by the check's own cell; None: no setting."""
    key = (check, protocol)
    if key in _WINDOWS:
        return _WINDOWS[key]
    column = EVERY.index(protocol) if protocol in EVERY else len(EVERY)
    cell = ROWS.get(check, "").ljust(column + 1, "-")[column]
    return [NEVER if cell in CANNOT else None]


def openings(check: str, protocol: str) -> list[When | None]:
    """The same with the anomalies that an invariant is paired with. One without a column admits nothing."""
    names = (check, *PAIRED.get(check, ()))
    return [when for name in names for when in opening(name, protocol)]


def admits(check: str, protocol: str, settings: Settings | None = None) -> bool:
    """Does the protocol allow what the check finds, in a run with these settings? None: under any."""
    return any(
        when is None or (when is not NEVER if settings is None else when.open(settings))
        for when in openings(check, protocol)
    )


def admitting(check: str) -> tuple[str, ...]:
    """The protocols that admit this anomaly, or need not keep this invariant, under some setting."""
    return tuple(protocol for protocol in PROTOCOLS if admits(check, protocol))


def described(check: str) -> str:
    """The same for people, with the settings that it takes."""
    found = [_described(check, protocol) for protocol in admitting(check)]
    return "every protocol" if found == list(PROTOCOLS) else ", ".join(found) or "no protocol"


def _described(check: str, protocol: str) -> str:
    found = [when for when in openings(check, protocol) if when is not NEVER]
    texts = [when.text if when else "" for when in found]
    return protocol if "" in texts else f"{protocol} ({' or '.join(dict.fromkeys(texts))})"
