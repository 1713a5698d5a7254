"""Small runs, real and made by hand, for the tests of what is written about runs."""

import functools
import math
from collections import Counter

from actors import observations as o
from actors.address import vm_address
from actors.contract import Reason, Share
from cluster.drive import Totals
from workloads import scenario, simulate
from workloads.census import complete
from workloads.meter import Meter
from workloads.simulate import Outcome

FAULTS = (
    'fault=[{point="pins.transient",probability=0.05},{point="tdx.bug",probability=0.01},'
    '{point="kvm.split_memory",probability=0.05}]'
)
MS = 1_000_000
DIGEST = "0123456789abcdef0123456789abcdef"


class Listener:
    """Stops at once, or never; keeps what it was told."""

    tell_every = math.inf

    def __init__(self, stop=False):
        self.stop = stop

    def progress(self, totals, watched):
        pass

    def should_stop(self):
        return self.stop


@functools.cache
def run(*overrides, stop=False):
    """(scenario, outcome) of a fleet of four VMs."""
    texts = ["scenario.conversions=300", "fleet.hosts=2", "fleet.vms_per_host=2", *overrides]
    found = decode(*texts)
    return found, simulate.run(simulate.prepare(found), Listener(stop))


def decode(*overrides):
    return scenario.decode("", "small.toml", overrides)


def word(answers=(), unanswered_requests=0, findings=(), unanswered=0, host=0, faults=()):
    """What a partition saw: answers are (latency in ms, failed), findings the inspector's."""
    meter, vm, now = Meter("two-phase"), vm_address(host, 0), 1
    for _ in range(len(answers) + unanswered_requests):
        meter.requested(now, o.Requested(vm, 1, Share.SHARED))
    for latency, failed in answers:
        now += latency * MS
        reason = Reason.BUSY if failed else Reason.NONE
        fact = o.Answered(vm, 1, 0, 1, Share.SHARED, reason, False, latency * MS)
        meter.answered(now, fact)
        if failed:
            meter.failed(now, o.Failed(vm, 1, "preparing", "kvm_mmu", reason))
    counts = Counter(name for _, name, *_ in findings)
    still = [[now, "L1", vm, 7, "no answer"] for _ in range(unanswered)]
    inspector = {
        "counts": dict(counts),
        "findings": list(findings),
        "open": {"L1": unanswered},
        "open_findings": still,
        "guest_faults": 0,
    }
    return {"meter": meter.result(), "inspector": inspector, "faults": list(faults), "backlog": 0}


def outcome(*words, finished=True):
    """A run of 20 ms of simulated time that took two seconds."""
    return Outcome(
        finished=finished,
        digest=DIGEST,
        totals=Totals(events=1000, now=20 * MS, busy=[1.5], wait=[0.5]),
        watched=list(words),
        census=complete({}),
        partitions=len(words),
        lookahead=None,
        nodes=1,
        wall_seconds=2.0,
        peak_rss_bytes=64 << 20,
    )
