"""What a random scenario is drawn from: key -> ways to choose it. A reader sees here all that the swarm can meet."""

from collections.abc import Callable, Mapping
from typing import Any

from actors.fleet.controller import POLICIES
from actors.protocols import PROTOCOLS
from actors.protocols.marks import MARKS
from cluster.fault_points import CLASSES, FAULT_POINTS
from workloads.scripts import EXAMPLE

Way = Callable[[float], Any]
"""A number in [0, 1) -> the key's value as in TOML; None leaves the key at its default."""
Ways = Mapping[str, Way]


def one_of(*values: Any) -> Way:
    """Each as likely; a value that stands twice is twice as likely."""
    return lambda draw: values[int(draw * len(values))]


def seldom(*values: Any) -> Way:
    """The default three times in four, or one of these."""
    return lambda draw: None if draw < 0.75 else one_of(*values)((draw - 0.75) * 4)


def some(*values: Any) -> Way:
    """The default every other time, or one of these."""
    return lambda draw: None if draw < 0.5 else one_of(*values)((draw - 0.5) * 2)


def power(low: float, high: float) -> Way:
    """Any number between, each order of magnitude as likely."""
    return lambda draw: float(f"{low * (high / low) ** draw:.2g}")


PACE = one_of(None, None, "open")
RATE = power(200, 5000)
THINK = one_of("20us", "100us", "500us")
MEAN, LONGEST = one_of("4KiB", "16KiB", "64KiB"), one_of("64KiB", "512KiB", "2MiB", "4MiB")
HERE, NOBODY = one_of(0), one_of(None)

# Keys of the sections.
SPACE: Ways = {
    "scenario.duration": one_of("5ms", "10ms", "20ms", "40ms"),
    "scenario.conversions": one_of(0, 30, 100, 300),
    "fleet.hosts": one_of(1, 1, 2, 3),
    "fleet.vms_per_host": one_of(1, 2, 3, 4),
    "fleet.spare_memory": seldom("0B", "64KiB", "1MiB", "64MiB"),
    "fleet.pamt": one_of("at-split", "dynamic", "static"),
    "fleet.reuse": one_of("others", "others", "nobody", "readmit"),
    "fleet.generations": one_of(2, 3, 4),
    "fleet.stagger": seldom("100us", "1ms"),
    "vm.memory": one_of("8MiB", "16MiB", "32MiB", "64MiB"),
    "vm.vcpus": one_of(4, 8),
    "vm.busy_vcpus": one_of(1, 2, 4),
    "vm.ticking_vcpus": one_of(0, 0, 1),
    "vm.page_order": one_of(9, 9, 0, 18),
    "vm.files_per_inode": one_of(1, 1, 1, 2, 3),
    "vm.start": one_of("mapped-2m", "mapped-4k", "unaccepted", "prefaulted-2m"),
    "vm.accept_level": one_of("2m", "2m", "4k"),
    "vm.sept_add": seldom(True),
    "vm.td_pinned": seldom(True),
    "vm.terminate": seldom(True),
    "vm.guest_inhibit": seldom("tested", "each"),
    "vm.devices": one_of(1, 1, 0, 2),
    "vm.iommu": one_of("notify", "notify", "pin"),
    "vm.backend": seldom("two-backends"),
    "vm.inval_fail": seldom("hang"),
    "vm.iotlb_outliers": seldom(True),
    "vm.track": seldom("step"),
    "vm.busy": seldom("rate"),
    "vm.busy_background": seldom(1e-4, 1e-2),
    "vm.interrupt_probability": one_of(0.0, 0.1, 0.5),
    "vm.guest_retries": one_of(0, 2, 5),
    "vm.reaction": one_of("leak", "revert", "keep-private", "ignore", "panic"),
    # No "spin": where a failure lasts, it goes on for ever, and so would the run.
    "vmm.retry": one_of("legacy", "backoff", "cooperative", "report"),
    "vmm.retry_first": seldom("100us"),
    "vmm.retry_tries": one_of(1, 3, 10),
    "vmm.listeners": one_of(1, 1, 0, 2),
    "vmm.unmap": seldom("on-eagain"),
    "protocol.name": one_of(*PROTOCOLS),
    "protocol.prepare_timeout": seldom("200us", "2ms"),
    "protocol.freeze_budget": seldom("10us", "1ms"),
    "protocol.freeze_at": seldom("commit"),
    "protocol.host_unmap": seldom("early-saved"),
    "protocol.iommu_prepare": seldom("unmap-early"),
    "protocol.on_poison": seldom("proceed-rest"),
    "protocol.prepare_busy": seldom("refuse", "bug"),
    "protocol.post_commit_check": seldom("fail-efault"),
    "protocol.on_error": seldom("remap"),
    "protocol.mark": seldom(*MARKS, "mixed"),
    "protocol.bug_on": seldom("yes", "no"),
    "protocol.swallow_enomem": seldom(False),
    "protocol.per_file": seldom(True),
    "protocol.store_first": seldom(True),
    "protocol.zap_first": seldom("no", "mixed"),
    "protocol.uniform_split": seldom(True),
    "protocol.notifier_scope": seldom("gmem-only"),
}

# A third each: VMs that are there from the start, VMs that come and go, VMs that move as well.
ARRIVING: Ways = {
    "scenario.conversions": HERE,
    "scenario.duration": one_of("20ms", "40ms"),
    "fleet.reuse": one_of("readmit"),
    "fleet.generations": one_of(4, 16),
    "vm.start": one_of("unaccepted"),
    "vm.memory": one_of("8MiB", "16MiB"),
    "vm.page_order": one_of(9, 9, 0),
    "vm.files_per_inode": one_of(1),
    "arrivals.kind": one_of("closed", "poisson"),
    "arrivals.policy": one_of(*POLICIES),
    "arrivals.population": one_of(2, 4, 8),
    "arrivals.pause": one_of("100us", "1ms"),
    "arrivals.rate": power(100, 2000),
    "arrivals.lifetime": one_of("2ms", "10ms", "1s"),
    "arrivals.boots": one_of(1, 2, 4),
    "arrivals.queue": one_of(0, 2, 1000),
    "costs.override.boot_fixed": one_of("1ms"),
    "costs.override.hkid_reclaim": one_of("300us"),
}
MOVING: Ways = {
    **ARRIVING,
    "fleet.hosts": one_of(2, 3, 4),
    "vm.td_pinned": NOBODY,
    "moves.kind": one_of("poisson", "evacuate"),
    "moves.rate": power(50, 1000),
    "moves.hosts": one_of([0], [1], [1, 0]),
    "moves.at": one_of("5ms", "10ms"),
    "moves.away": one_of("1ms", "5ms"),
    "moves.pause": one_of("500us", "2ms"),
    "moves.patience": one_of("500us", "5ms", "2s"),
}
STANDING: Ways = {}
LARGE: Ways = {
    "scenario.conversions": one_of(1000, 30, 100, 300),  # with no limit it would take minutes
    "scenario.duration": one_of("50ms", "100ms"),
    "fleet.hosts": one_of(4, 8),
    "fleet.vms_per_host": one_of(4, 8),
    "vm.memory": one_of("256MiB", "4GiB"),
    "vm.vcpus": one_of(16),
}
FLEETS: tuple[Ways, ...] = (STANDING, STANDING, ARRIVING, MOVING)
SIZES: tuple[Ways, ...] = (*[STANDING] * 24, LARGE)

# Keys of a [[workload]], by its kind.
CHURN: Ways = {
    "pace": PACE, "rate": RATE, "outstanding": one_of(1, 2, 4), "think": THINK, "size_mean": MEAN,
    "size_max": LONGEST, "touch": one_of(0.0, 0.5, 1.0),
}  # fmt: skip
POOL: Ways = {
    "pool": one_of("2MiB", "4MiB"), "pace": PACE, "conversion_rate": RATE, "think": THINK,
    "outstanding": one_of(1, 4), "size_mean": MEAN, "size_max": LONGEST,
}  # fmt: skip
BESIDE: Ways = {"pace": PACE, "conversion_rate": RATE, "outstanding": one_of(1, 4)}
LOADS: Mapping[str, Ways] = {
    "churn": CHURN,
    "boot": {
        "swiotlb_min": one_of("2MiB"), "swiotlb_max": one_of("2MiB", "4MiB"), "pace": PACE,
        "firmware_conversions": one_of(5, 50), "firmware_range": one_of("1MiB", "4MiB"),
        "accept": one_of("0B", "2MiB", "8MiB"), "accept_vcpus": one_of(1, 2), "ticking_vcpus": one_of(0, 1),
    },
    "hot-range": {
        "region": one_of("4KiB", "1MiB", "2MiB"), "rounds": one_of(2, 8), "vcpus": one_of(1, 2, 3),
        "pace": PACE, "rate": RATE,
    },
    "hostile": {
        "size": one_of("4KiB", "64KiB", "2MiB"), "vcpus": one_of(1, 3), "access": one_of("accept", "accept", "read"),
        "pause": THINK, "think": THINK, "pace": PACE, "rate": RATE, "touch": one_of(0.0, 0.5),
        "back": one_of(1.0, 0.5, 0.0),
    },
    "dma-storm": {
        "pool": one_of("2MiB", "4MiB"), "streams": one_of(1, 2), "dma_rate": power(1000, 20000),
        "windows": one_of(0.0, 100.0, 1000.0), "window_max": one_of("64KiB", "1MiB"), "pace": PACE,
        "rate": RATE, "outstanding": one_of(1, 4), "pool_hits": one_of(0.0, 0.01, 0.2),
    },
    "notifier-storm": {
        **POOL, "rate": power(100, 5000), "chains": one_of(0.0, 0.5), "reaper": one_of(0.0, 0.02, 0.5),
        "range_mean": one_of("4KiB", "256KiB"),
    },
    "pin-holders": {
        **POOL, "pinned": one_of(0.01, 0.1), "pin_mean": one_of("4KiB", "64KiB"), "hold": one_of("100us", "10ms"),
    },
    "memory-pressure": {
        **BESIDE, "rate": power(100, 5000), "take_mean": one_of("64KiB", "4MiB"), "hold": one_of("200us", "5ms"),
    },
    "memory-failure": {**BESIDE, "rate": power(10, 500)},
    "balloon": {
        "size": one_of("2MiB", "4MiB"), "rate": power(100, 2000), "rounds": one_of(1, 3), "pace": PACE,
        "conversion_rate": RATE, "outstanding": one_of(0, 1),
    },
    "sweep": {
        "window": one_of("64KiB", "2MiB"), "passes": one_of(1, 2, 4), "pace": PACE, "rate": RATE,
        "writers": one_of(0, 2), "write_rate": power(1000, 20000),
    },
    "shutdown": {
        "shared": one_of("64KiB", "2MiB"), "pace": PACE, "uptime": one_of("1ms", "5ms"), "grace": one_of("10us", "2ms"),
    },
    "trace": {
        "log": one_of(["td-boot-iso.log"], ["mixed-stderr.log"]), "pace": one_of("back-to-back"),
        "outstanding": one_of(1, 4),
    },
    "script": {
        "lanes": one_of(
            [EXAMPLE.strip('"')],
            ["use 0B+2MiB, private 4KiB+4KiB", "touch 0B+4KiB, share 1MiB+2MiB"],
            ["share 0B+64KiB, pin 4KiB+4KiB, private 0B+64KiB", "accept 0B+4KiB"],
        ),
        "pace": PACE, "rate": RATE,
    },
}  # fmt: skip
WORKLOADS = one_of(1, 1, 1, 2, 3)
KIND = one_of("churn", "churn", *LOADS)

# Keys of a [[fault]]. A scenario has a few of them, and the other points never fail in it.
FAULTS = one_of(0, 1, 2, 3, 4, 6)
FAULT: Ways = {
    "point": one_of(*FAULT_POINTS),
    "reason": seldom(*CLASSES),
    "probability": one_of(1e-4, 1e-3, 1e-2, 0.1, 0.5, 1.0, 1.0),
    "nth": seldom([1], [2], [1, 3], [7]),
    "every": seldom(2, 5, 40),
    "lasts": seldom("50us", "2ms"),
    "also": seldom(*([point] for point in FAULT_POINTS)),
    "from": seldom("1ms", "5ms"),
    "until": seldom("6ms", "15ms"),
    "hosts": seldom([0]),
    "vms": seldom([0]),
    "range": seldom(["0B", "2MiB"], ["1MiB", "4MiB"]),
}
