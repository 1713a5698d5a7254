"""What an access of the guest can come to."""

import enum


class Outcome(enum.IntEnum):
    """Answer to an Access."""

    DONE = 0
    RETRY = 1  # the fault was handled: execute again
    SIZE_MISMATCH = 2  # ACCEPT at 2 MiB met 4 KiB entries
    FAILED = 3  # the page cannot be had
