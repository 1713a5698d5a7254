"""tests/transcripts/data/README.md: every situation under every protocol in one table."""

from actors.contract import ERRNO
from actors.protocols import PROTOCOLS
from tests.transcripts.playing import STORIES
from tests.transcripts.situations import SITUATIONS
from tests.transcripts.stories.told import Told

HEAD = """\
# Transcripts

What happens, message by message, when one conversion is requested. Each file is one situation under one protocol:
what it is about, a line for each message, and what is left behind. They are rewritten by
`pytest tests/transcripts --rewrite`, from the actors themselves. Two files of one line of the table, side by side,
are the difference between two protocols. [witness](witness) has the reference traces of
[docs/domain.md](../../../docs/domain.md) section 13.

A cell is the request's answer and the anomalies found (docs/domain.md section 5); `-`: the situation cannot befall
this protocol, or says nothing new of it.
"""


def index() -> str:
    """The page."""
    lines = [HEAD, line("situation", *PROTOCOLS), "|---" * (len(PROTOCOLS) + 1) + "|"]
    for name in SITUATIONS:
        cells = (cell(protocol, name) for protocol in PROTOCOLS)
        lines.append(line(f"`{name}`", *cells))
    return "\n".join(lines) + "\n"


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
