"""What summary.json says of latencies that leave out a run's beginning (workloads.settling)."""

from collections.abc import Mapping
from typing import Any

from workloads.outcome.figures import duration, number, share
from workloads.outcome.shape import WarmUp
from workloads.outcome.tally import NS, Tally


def warm_up(seen: Tally) -> dict[str, WarmUp]:
    """Where it was asked for, of a run that is over."""
    if not seen.settled:
        return {}
    left_out, of, first = seen.settled
    seconds = None if first is None else first / NS
    return {"warm_up": WarmUp(rule="mser-5", seconds=seconds, left_out=left_out, of=of)}


def in_words(summary: Mapping[str, Any]) -> str:
    """For people."""
    found = summary["warm_up"]
    if "seeds" in summary:
        return "latencies leave out the beginning of each seed's run, as far as MSER-5 finds one"
    if found["seconds"] is None:
        return "MSER-5 cannot tell a beginning: nothing is left out of latencies, and a longer run may differ"
    part = share(found["left_out"] / found["of"])
    return (
        f"latencies leave out the first {number(found['left_out'])} conversions ({part}), which started before "
        f"{duration(found['seconds'])}, by MSER-5"
    )
