"""Counts and latencies of one partition, from observations: plain numbers that add up over partitions."""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from actors import observations as o
from actors.address import HOST_SHIFT
from actors.contract import ERRNO, WORDS, Consumer, Reason, Share
from actors.locks.observations import LockWaited, TdxLocked
from actors.names import on_top
from actors.tdx.states import Call, Status
from cluster.histogram import FRESH_MOST, Histogram
from cluster.label_sets import PHASES
from workloads.timeline import Timeline

DIRECTION = {Share.SHARED: "private_to_shared", Share.PRIVATE: "shared_to_private"}
OUTCOMES = ("completed", "failed")
NONE, DEAD, BUSY = Reason.NONE, Reason.DEAD, Status.BUSY  # a member is slow to look up


class Meter:
    """Counters are (family, label values...) -> number, histograms the same -> Histogram; see cluster.metrics."""

    def __init__(self, protocol: str) -> None:
        self.protocol = protocol
        self.counters: Counter[tuple[str, ...]] = Counter()
        self.histograms: dict[tuple[str, ...], Histogram] = {}
        # Some of them, found sooner: by phase and consumer, by Share and whether it failed.
        self.phases: dict[str, list[Histogram | None]] = {
            phase: [None] * len(Consumer) for phase in PHASES
        }
        self.latencies: list[list[Histogram | None]] = [[None, None] for _ in Share]
        self.answers = [
            [("conversions", protocol, DIRECTION[to], outcome) for outcome in OUTCOMES]
            for to in Share
        ]
        self.timelines: dict[int, Timeline] = {}
        self.depth_max = 0
        self.last_answer = 0  # when (ns)
        self.ended: set[int] = set()  # VMs that will not run again

    def watches(self) -> Mapping[type, Callable[[int, Any], None]]:
        """See cluster.world.Watcher."""
        return {
            o.Requested: self.requested,
            o.Answered: self.answered,
            o.Failed: self.failed,
            o.Retried: self.retried,
            o.ConsumerReplied: self.replied,
            LockWaited: self.lock_waited,
            o.SeamcallAnswered: self.seamcall,
            TdxLocked: self.tdx_locked,
            o.EpochDrained: self.drained,
            o.VmBugged: self.bugged,
            o.VmStopped: self.stopped,
            o.VmAdmitted: self.admitted,
            o.GuestPanicked: self.panicked,
            o.HugeLost: self.huge_lost,
            o.IotlbQueued: self.queued,
            o.Booted: self.booted,
            o.PoisonSet: self.poisoned,
            o.DmaDone: self.dma_done,
            o.DmarFault: self.dmar_fault,
            o.DmaHeld: self.dma_held,
            o.FaultRetried: self.fault_retried,
            o.NotifierCalled: self.notifier_called,
            o.NotifierError: self.notifier_failed,
        }

    def requested(self, now: int, fact: o.Requested) -> None:
        self.counters["requested",] += 1
        if on_top(fact.request):
            self.counters["on_top",] += 1
        self.timeline(fact.vm).enter(now)

    def answered(self, now: int, fact: o.Answered) -> None:
        to, reason, latency = fact.to, fact.reason, fact.latency
        failed = reason is not NONE
        if now > self.last_answer:  # noqa: PLR1730 - no call for every answer
            self.last_answer = now
        self.counters[self.answers[to][failed]] += 1
        if fact.redundant:
            self.counters["redundant",] += 1
        if reason is DEAD:
            self.counters["at_dead_vms",] += 1
        if latency < 0:  # NO_LATENCY
            latency = 0
        else:
            found = self.latencies[to][failed]
            if found is None:
                found = self.histogram("conversion_latency", *self.answers[to][failed][1:])
                self.latencies[to][failed] = found
            found.add(latency)
        self.timeline(fact.vm).leave(now, failed, latency)

    def failed(self, _: int, fact: o.Failed) -> None:
        reason = ERRNO[fact.reason]
        self.counters["failures", self.protocol, fact.phase, fact.consumer, reason] += 1

    def retried(self, _: int, fact: o.Retried) -> None:
        self.counters["retries",] += 1

    def replied(self, _: int, fact: o.ConsumerReplied) -> None:
        phase, consumer = fact.phase, fact.consumer
        found = self.phases[phase][consumer]
        if found is None:
            found = self.histogram("phase_latency", phase, WORDS[consumer])
            self.phases[phase][consumer] = found
        fresh = found.fresh  # found.add, without its call: of all facts, most are these
        fresh.append(fact.took)
        if len(fresh) >= FRESH_MOST:
            found.settle()

    def lock_waited(self, _: int, fact: LockWaited) -> None:
        if fact.wait:
            self.histogram("lock_wait", fact.lock).add(fact.wait)

    def seamcall(self, _: int, fact: o.SeamcallAnswered) -> None:
        if fact.status == BUSY:
            self.counters["tdx_busy", Call(fact.call).name.lower()] += 1

    def tdx_locked(self, _: int, fact: TdxLocked) -> None:
        if fact.by == "VP.ENTER":
            self.counters["zero_step_entries",] += 1

    def drained(self, _: int, fact: o.EpochDrained) -> None:
        self.counters["kicks",] += fact.kicked

    def bugged(self, _: int, fact: o.VmBugged) -> None:
        self.counters["vms_bugged",] += 1
        self.lost(fact.vm)

    def stopped(self, _: int, fact: o.VmStopped) -> None:
        if fact.regular:
            self.ended.add(fact.vm)
        self.lost(fact.vm)

    def admitted(self, _: int, fact: o.VmAdmitted) -> None:
        self.counters["vms_admitted",] += 1

    def panicked(self, _: int, fact: o.GuestPanicked) -> None:
        self.lost(fact.vm)

    def lost(self, vm: int) -> None:
        """Once for each VM: one that was bugged is stopped too, and what its regular exit brings up loses nothing."""
        if vm not in self.ended:
            self.ended.add(vm)
            self.counters["vms_lost",] += 1

    def huge_lost(self, _: int, fact: o.HugeLost) -> None:
        self.counters["huge_lost",] += fact.leaves

    def queued(self, _: int, fact: o.IotlbQueued) -> None:
        if fact.wait:
            self.histogram("lock_wait", "iommu_queue").add(fact.wait)
        self.counters["iommu_queued",] += 1
        self.counters["iommu_depth",] += fact.depth
        self.depth_max = max(self.depth_max, fact.depth)

    def booted(self, _: int, fact: o.Booted) -> None:
        self.histogram("boot").add(fact.took)

    def poisoned(self, _: int, fact: o.PoisonSet) -> None:
        self.counters["poisoned_pages",] += fact.end - fact.start

    def dma_done(self, _: int, fact: o.DmaDone) -> None:
        self.counters["dma", "stale" if fact.stale else "done"] += 1

    def dmar_fault(self, _: int, fact: o.DmarFault) -> None:
        self.counters["dma", "fault"] += 1

    def dma_held(self, _: int, fact: o.DmaHeld) -> None:
        self.histogram("dma_held").add(fact.wait)

    def fault_retried(self, _: int, fact: o.FaultRetried) -> None:
        self.counters["page_faults_retried",] += 1

    def notifier_called(self, _: int, fact: o.NotifierCalled) -> None:
        self.counters["notifier_calls",] += 1

    def notifier_failed(self, _: int, fact: o.NotifierError) -> None:
        if fact.no_fail:
            self.counters["no_fail_failed", fact.site] += 1

    def histogram(self, *labels: str) -> Histogram:
        """The histogram of this family and these labels."""
        found = self.histograms.get(labels)
        if found is None:
            found = self.histograms[labels] = Histogram()
        return found

    def timeline(self, vm: int) -> Timeline:
        """The host's timeline."""
        host = vm >> HOST_SHIFT
        found = self.timelines.get(host)
        if found is None:
            found = self.timelines[host] = Timeline()
        return found

    def result(self) -> dict[str, Any]:
        """See cluster.world.Watcher."""
        timelines = [timeline.pack() for timeline in self.timelines.values()]
        return {**self.so_far(), "timelines": timelines}

    def so_far(self) -> dict[str, Any]:
        """See cluster.world.Watcher. Of a host's timeline what it comes to: a fleet's bins are many."""
        return {
            "counters": [[*labels, count] for labels, count in self.counters.items()],
            "histograms": [[*key, h.pack()] for key, h in self.histograms.items()],
            "timelines": [timeline.so_far() for timeline in self.timelines.values()],
            "hosts": list(self.timelines),  # whose they are
            "depth_max": self.depth_max,
            "last_answer": self.last_answer,
        }
