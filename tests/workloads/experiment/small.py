"""Small experiments for tests, and a pool that answers without simulating."""

import json

import msgspec

from workloads.experiment import decode
from workloads.one_run import DECODER
from workloads.pool import Finished

HEAD = """
[experiment]
question = "How much?"
prediction = "So much."
"""
GRID = f"""{HEAD}
seeds = 2

[[axis]]
name = "protocol"
key = "protocol.name"
values = ["two-phase", "undo"]

[[axis]]
name = "VMs"
key = "fleet.vms_per_host"
values = [1, 2]

[[measure]]
name = "p99"
path = "conversion.latency.p99"
unit = "duration"

[[plot]]
x = "VMs"
y = "p99"

[conclusion]
analysis = "extremes"
text = "{{least p99}} to {{most p99}} at {{most p99\\n at}}; {{p99 undo 1}}"

[checks]
"most p99" = "< 1s"
"""
SEARCH = f"""{HEAD}
[[axis]]
name = "protocol"
key = "protocol.name"
values = ["two-phase", "undo"]

[search]
key = "fleet.vms_per_host"
name = "VMs"
high = 40
objective = "conversion.latency.p99 < 5ms and conversion.failure_ratio <= 1%"
relieve = {{ iommu_queue = ["iotlb_invalidate"] }}

[[measure]]
name = "p99"
path = "conversion.latency.p99"
unit = "duration"

[conclusion]
analysis = "capacity"
text = "{{least answer}} to {{most answer}}, with half the cost {{most gain}} times that; {{limits}}"

[checks]
"monotone" = "== yes"
"least gain" = ">= 1.5"
"""


def grid(*extra, text=GRID):
    """The grid."""
    return decode(text, "small.toml", extra)


def summary(scenario, p99=0.001, resources=None, **more):
    """As much of one as a sweep looks at."""
    percentiles = {"count": 10, "mean": p99, **dict.fromkeys(("p50", "p90", "p99", "max"), p99)}
    return {
        "finished": True,
        "verdict": "valid",
        "reasons": [],
        "seed": scenario.scenario.seed,
        "latency_seconds": percentiles,
        "conversions": {"completed": 10, "failed": 0, "requested": 10},
        "anomalies": {},
        "failures": {"EAGAIN": 3},
        "resources": resources or {},
        "engine": {"wall_seconds": 0.5},
        **more,
    }


class Answers:
    """See workloads.pool.Pool: `of` makes a summary of a scenario. `ran` are the scenarios that were run."""

    redone = 0

    def __init__(self, of=summary, size=3):
        self.of, self.size = of, size
        self.ran, self.waiting = [], []

    def __len__(self):
        return len(self.waiting)

    def start(self, name, work):
        assert len(self) < self.size, "more is handed in than goes on at a time"
        self.waiting.append((name, DECODER.decode(work)))

    def finished(self):
        """The last one first: nothing may depend on the order."""
        name, scenario = self.waiting.pop()
        self.ran.append(scenario)
        found = self.of(scenario)
        if isinstance(found, str):
            yield Finished(name, None, found)
        else:
            yield Finished(name, json.dumps(found).encode())

    def close(self):
        self.waiting.clear()


def plain(found):
    """As it comes back from JSON."""
    return msgspec.json.decode(json.dumps(found))
