"""What a vCPU does, written down: `use 0B+4KiB, private 0B+4KiB`. The words of [[workload]] kind = "script"."""

from typing import NamedTuple

from workloads.units import parse_size
from workloads.wording import quote

PAGE = 4096
VERBS = {
    "share": "convert to shared",
    "use": "convert to shared and use it",
    "private": "convert to private and accept it",
    "touch": "use it on whichever side it is, once no conversion has it in hand",
    "accept": "accept it through the private alias, whoever converts it",
    "read": "read it through the private alias, whoever converts it",
    "pin": "the VMM's GUP pins it, for good as far as the conversion is concerned",
}
EXAMPLE = '"use 0B+4KiB, private 0B+4KiB"'


class Line(NamedTuple):
    """One thing to do: a verb, and pages from the first on."""

    verb: str
    start: int
    end: int


def lines_of(text: str) -> tuple[Line, ...]:
    """Of one vCPU, in order; ValueError says what is wrong."""
    return tuple(line_of(part.strip()) for part in text.split(","))


def line_of(text: str) -> Line:
    """`VERB OFFSET+SIZE`."""
    verb, _, place = text.partition(" ")
    offset, plus, size = place.partition("+")
    if verb not in VERBS or not plus:
        raise ValueError(
            f"found {quote(text)}, expected VERB OFFSET+SIZE as in {EXAMPLE}; verbs: {', '.join(VERBS)}"
        )
    start, length = parse_size(offset.strip()), parse_size(size.strip())
    if start % PAGE or length % PAGE or not length:
        raise ValueError(f"found {quote(text)}, expected whole pages of 4KiB")
    return Line(verb, start // PAGE, (start + length) // PAGE)
