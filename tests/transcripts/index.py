"""tests/transcripts/data/README.md: every situation under every protocol, in a table for each kind of trouble."""

import re
from collections.abc import Iterator

from actors.contract import ERRNO
from actors.protocols import PROTOCOLS
from tests.transcripts.playing import STORIES
from tests.transcripts.situations import SITUATIONS
from tests.transcripts.stories.told import Told

HEAD = """\
# Transcripts

What happens, message by message, when one conversion is requested. Each file is one situation under one protocol:
what it is about, a line for each message, and what is left behind. They are rewritten by
`pytest tests/transcripts --rewrite`, from the actors themselves. Two files of one line of a table, side by side,
are the difference between two protocols. [witness](witness) has the reference traces of
[docs/domain.md](../../../docs/domain.md) section 13.

Where to begin: [all goes well](two-phase/to_shared.txt), [somebody says no](two-phase/busy_twice.txt) and
[a bug after the decision](two-phase/remove_bug.txt) under two-phase, then the same three
([1](undo/to_shared.txt), [2](undo/busy_twice.txt), [3](undo/remove_bug.txt)) under undo.

A cell is the request's answer and the anomalies found (docs/domain.md section 5); `-`: the situation cannot befall
this protocol, or says nothing new of it.
"""
# Its first situation -> a part of the page; the order is that of the situations.
PARTS = {
    "to_shared": "All goes well",
    "file_closed": "Not possible at all",
    "pool_empty": "guest_memfd's own memory is short",
    "folio_not_readded": "A folio cannot be split or merged, or the undo fails",
    "no_memory_to_split": "KVM or the TDX module says no, before the decision",
    "page_pinned": "References stand in the way",
    "no_memory_for_iopte": "The IOMMU driver says no, before the decision",
    "two_refusals": "Two say no",
    "no_answer_from_kvm_mmu": "Somebody does not answer",
    "remove_bug": "A failure after the decision, or past the point of no return",
    "remapped_not_for_devices": "The way back fails, and a race",
    "two_files": "Several files on the inode",
    "vmm_killed": "The VMM is killed, and the VM torn down",
    "devices_not_mapped": "After the ioctl",
    "list_error_reported": "Under other parameters of the protocol",
}


def index() -> str:
    """The page: where to find which part, then a table for each."""
    return "\n".join(
        [HEAD, *(f"- [{title}](#{anchor(title)})" for title in PARTS.values()), *parts(), ""]
    )


def parts() -> Iterator[str]:
    """The tables under their titles."""
    for name, situation in SITUATIONS.items():
        if name in PARTS:
            yield f"\n## {PARTS[name]}\n"
            yield line("situation", "what is arranged", *PROTOCOLS)
            yield "|---" * (len(PROTOCOLS) + 2) + "|"
        cells = (cell(protocol, name) for protocol in PROTOCOLS)
        yield line(f"`{name}`", f"To {situation.to.name.lower()}. {situation.about}", *cells)


def anchor(title: str) -> str:
    """As the site that shows the page makes it."""
    return re.sub(r"[^a-z0-9_-]", "", title.lower().replace(" ", "-"))


def cell(protocol: str, name: str) -> str:
    """How it ends, with the way to its file."""
    told = STORIES[protocol].get(name)
    if told is None:
        return "-"
    anomalies = [found for found in told.found.split() if found.startswith("AN")]
    return " ".join([f"[{answer(told)}]({protocol}/{name}.txt)", *anomalies])


def answer(told: Told) -> str:
    """In a word."""
    if told.reason is None:
        return "never"
    return ERRNO[told.reason] if told.reason else "success"


def line(*cells: str) -> str:
    """Of a table."""
    return f"| {' | '.join(cells)} |"
