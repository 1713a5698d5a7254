"""Memory of this process, as the operating system accounts it."""

import resource

KIB = 1024


def peak_rss_bytes() -> int:
    """Peak resident memory so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * KIB
