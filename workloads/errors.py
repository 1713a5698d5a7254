"""What ends a command with a single line: a user's mistake, or a run that cannot go on."""


class UsageError(Exception):
    """A mistake of the user's. The command line prints its text on one line and exits with status 2."""


class LostError(Exception):
    """A run that cannot go on. The command line prints its text on one line and exits with status 3: unknown.

    `trace` is the traceback of a bug that ended it.
    """

    def __init__(self, text: str, trace: str = "") -> None:
        super().__init__(text)
        self.trace = trace
