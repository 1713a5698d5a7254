"""Memory that fails."""

from actors.contract import Message


class MemoryFailure(Message, frozen=True, tag=140):
    """Load -> guest_memfd: the frame behind a page of the file (index) has an error that cannot be corrected."""

    page: int
