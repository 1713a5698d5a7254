"""Which bytes can be a pickle of ours: looked at before they are unpickled, since pickle sets aside what it is told to.

PUT may number an entry of the memo 2^30, and the memo becomes a table of so many; of `bytes` all are set aside before
the first is read. A pickler of ours numbers entries in turn (MEMOIZE), and its lengths end within the bytes.
"""

import re
from struct import Struct

STOP = ord(".")
CUT = "it is cut off"
# What a pickler of protocol 5 writes: opcodes alone, with so many bytes of argument, and with the argument's length.
ALONE = b"01()NRabelstu]}\x81\x85\x86\x87\x88\x89\x8f\x90\x91\x92\x93\x94"
FIXED = {b"K": 1, b"M": 2, b"J": 4, b"G": 8, b"h": 1, b"j": 4, b"\x80": 1, b"\x95": 8}
COUNTED = {
    **dict.fromkeys(b"C\x8a\x8c", Struct("<B")),
    **dict.fromkeys(b"BX\x8b", Struct("<I")),
    **dict.fromkeys(b"\x8d\x8e\x96", Struct("<Q")),
}
# One match for a run of opcodes without a length: a third of what unpickling takes, where pickletools takes five times
# that. Possessive, so that nothing is remembered of a run.
RUN = re.compile(
    b"(?:[%s]++|%s)*+"
    % (
        re.escape(ALONE),
        b"|".join(b"%s.{%d}" % (re.escape(code), size) for code, size in FIXED.items()),
    ),
    re.DOTALL,
)


def flaw(pickled: bytes) -> str:
    """Why these bytes are no pickle of ours, or nothing."""
    at = _run(pickled, 0)
    while at < len(pickled) and pickled[at] != STOP:
        length = COUNTED.get(pickled[at])
        if length is None:
            return f"byte {at} is {pickled[at]:#04x}, which no state has"
        start = at + 1 + length.size
        if start > len(pickled):
            return CUT
        end = start + length.unpack_from(pickled, at + 1)[0]
        if end > len(pickled):
            return (
                f"byte {at} begins {end - start} bytes, of which {len(pickled) - start} are there"
            )
        at = _run(pickled, end)
    return "" if at < len(pickled) else CUT


def _run(pickled: bytes, at: int) -> int:
    """Where the opcodes without a length end that begin here."""
    found = RUN.match(pickled, at)
    assert found  # an empty run is one
    return found.end()
