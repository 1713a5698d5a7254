"""What is told of a situation under a protocol."""

from typing import NamedTuple

from actors.contract import Reason


class Told(NamedTuple):
    """The answer (None: there never is one), ids of the checks that fire, and the story in the protocol's steps."""

    reason: Reason | None
    found: str
    story: str
