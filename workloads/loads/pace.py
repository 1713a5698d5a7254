"""Open loop or closed: does a load ask at its own times, or does it wait for answers?

A closed loop asks a slow protocol for less, and a dead VM for nothing, so a comparison over it is not of equals.
"""

from collections.abc import Iterator

from workloads.plan import LogShape, Plan
from workloads.scenario import AnyWorkload, Trace

# What makes a workload an open loop.
OF_TRACES = 'pace = "rate" opens it, and so does "recorded" where the log has times'
OF_OTHERS = 'pace = "open" opens it'


def is_open(load: AnyWorkload, log: LogShape | None = None) -> bool:
    """Whether the load asks at its own times; a log without times cannot be replayed at its own pace."""
    if isinstance(load, Trace):
        timed = log is not None and log.has_times
        return load.pace == "rate" or (load.pace == "recorded" and timed)
    return load.pace == "open"


def closed_loops(plan: Plan) -> Iterator[str]:
    """A line for each workload that waits for answers: which one, and what to do about it."""
    for index, load in enumerate(plan.scenario.workload):
        logs = plan.logs[index] or (None,)
        if not all(is_open(load, log) for log in logs):
            remedy = OF_TRACES if isinstance(load, Trace) else OF_OTHERS
            yield f"workload.{index} ({load.kind}): {remedy}"
