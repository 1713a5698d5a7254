"""The one exception for a user's mistake: a single line that says what, where, and what would be right."""


class UsageError(Exception):
    """A mistake of the user's. The command line prints its text on one line and exits with status 2."""
