"""Which anomaly each protocol admits, and which invariant it therefore cannot keep: docs/domain.md section 5 as data.

Y can occur, b only with a bug in COMMIT (F6), w only in a window or with a parameter, - cannot by construction,
n the mechanism is absent.
"""

from actors.protocols import PROTOCOLS

# In the order of PROTOCOLS: A, B, B1, B2, B2H, C, C', C0.
ROWS: dict[str, str] = {
    "AN1": "YYwbYbw-",
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
    "AN28": "wYYYYwww",
}
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
    "I10": ("AN4", "AN5", "AN6", "AN7"),
    "I11": ("AN3",),
    "I13": ("AN1",),
    "I17": ("AN20",),
    "I18": ("AN13", "AN14"),
    "I21": ("AN18",),
    "I22": ("AN19",),
    "L1": ("AN9",),
    "L2": ("AN9",),
}
# C' with small folios stores a range although the S-EPT still maps a page of it: nothing looks at its references.
BESIDES: dict[str, tuple[str, ...]] = {"I2": ("two-phase-refcount",)}
CANNOT = "-n"


def admitting(check: str) -> tuple[str, ...]:
    """The protocols that admit this, or that need not keep it. One without a column admits nothing."""
    anomalies = (check,) if check in ROWS else PAIRED.get(check, ())
    return tuple(
        protocol
        for column, protocol in enumerate(PROTOCOLS)
        if protocol in BESIDES.get(check, ())
        or any(ROWS[anomaly].ljust(column + 1, "-")[column] not in CANNOT for anomaly in anomalies)
    )
