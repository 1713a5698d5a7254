"""The sections of a scenario except its workloads. Durations are nanoseconds, sizes are bytes."""

from typing import Annotated, Literal

import msgspec

from actors.address import FILES_MAX
from actors.contract import PAGE_BYTES
from actors.protocols import PROTOCOLS
from actors.protocols.marks import MARKS
from cluster.fault_points import CLASSES
from cluster.placement import PLACEMENTS
from workloads.scenario import keys as key
from workloads.scenario.keys import Section
from workloads.units import DURATIONS, SIZES

PREPARE_TIMEOUT_NS_MIN = 2_000  # ten links: a question takes two to be answered at all
MS, SECOND = DURATIONS["ms"], DURATIONS["s"]
MIB, GIB = SIZES["MiB"], SIZES["GiB"]

FAULT_REASONS = ("own", *CLASSES)

Start = Literal["mapped-2m", "mapped-4k", "unaccepted", "prefaulted-2m"]
Level = Literal["2m", "4k"]
Pamt = Literal["at-split", "dynamic", "static"]
Inhibit = Literal["off", "tested", "each"]
Busy = Literal["emergent", "rate"]
IommuQueues = Literal["host", "vm"]
Reuse = Literal["others", "readmit", "nobody"]
Track = Literal["page", "step"]
Reaction = Literal["leak", "revert", "keep-private", "ignore", "panic"]
Iommu = Literal["notify", "pin"]
Backend = Literal["in-place", "two-backends"]
InvalFail = Literal["error", "hang"]
Retry = Literal[
    "legacy", "spin", "immediate", "fixed", "backoff", "jitter", "cooperative", "report"
]
PageOrder = Literal[0, 9, 18]
Executor = Literal["local", "ray"]
MARKINGS = ("protocol", *MARKS, "mixed")
WarmUp = Literal["kept", "mser-5"]
NotifierScope = Literal["mmu_notifier", "gmem-only"]


class General(Section, frozen=True):
    """[scenario]: what the run is called and when it ends."""

    name: Annotated[
        str, key.text("names the results' folder; the file's stem if absent", "name")
    ] = ""
    description: Annotated[str, key.text("one line for people")] = ""
    seed: Annotated[int, key.count("seed", "everything random follows from it")] = 1
    duration: Annotated[
        int,
        key.duration("simulated time after which no new conversion starts; those in flight end"),
    ] = 10 * SECOND
    conversions: Annotated[
        int, key.count("conversions", "fleet's total after which none starts; 0 = no limit")
    ] = 0
    warm_up: Annotated[
        WarmUp,
        key.choice(
            WarmUp,
            "of latencies: kept, or left out as far as MSER-5 finds the run's beginning unlike the rest",
        ),
    ] = "kept"


class Fleet(Section, frozen=True):
    """[fleet]: the hosts and what the VMs of one host share."""

    hosts: Annotated[int, key.count("hosts", "hosts of the fleet", 1, 100_000)] = 4
    vms_per_host: Annotated[int, key.count("VMs", "confidential VMs on each host", 1, 16_000)] = 8
    vms: Annotated[
        int, key.count("VMs", "of the fleet, when the last hosts are not full; 0 = all are", 0)
    ] = 0
    spare_memory: Annotated[
        int, key.size("host's page pool for page tables, tree nodes, vmemmap; 0B = empty", low=0)
    ] = 64 * GIB
    pamt: Annotated[
        Pamt,
        key.choice(
            Pamt,
            "a region's PAMT pages: with a split, for the VM's life; while it has 4 KiB leaves, counted; at boot",
        ),
    ] = "at-split"
    reuse: Annotated[
        Reuse,
        key.choice(
            Reuse,
            "of frames that a closed file gives back: by others at once, by a VM in the gone one's place, or not",
        ),
    ] = "others"
    generations: Annotated[
        int, key.count("VMs", "reuse = readmit: in one place, one after the other", 2, 64)
    ] = 4
    iommu_queues: Annotated[
        IommuQueues,
        key.choice(
            IommuQueues,
            "invalidations of all of a host's VMs queue behind each other, or each VM has a queue of its own",
        ),
    ] = "host"
    cpus: Annotated[int, key.count("CPUs", "host CPUs that lru_add_drain_all visits", 1, 4096)] = 64
    stagger: Annotated[
        int, key.duration("offset between the starts of successive VMs of the fleet", low=0)
    ] = 0


class Vm(Section, frozen=True):
    """[vm]: every VM of the fleet, and how its guest behaves."""

    memory: Annotated[
        int, key.size("private memory that guest_memfd backs", low=2 * MIB, step=2 * MIB)
    ] = 8 * GIB
    vcpus: Annotated[int, key.count("vCPUs", "virtual CPUs", 1, 1024)] = 16
    busy_vcpus: Annotated[
        int, key.count("vCPUs", "run in the guest and must be kicked", 0, 1024, at_most="vcpus")
    ] = 8
    ticking_vcpus: Annotated[
        int, key.count("vCPUs", "of the busy ones, take timer ticks", 0, 1024, at_most="busy_vcpus")
    ] = 0
    page_order: Annotated[
        PageOrder,
        key.choice(PageOrder, "order of guest_memfd's folios: 0 = 4 KiB, 9 = 2 MiB, 18 = 1 GiB"),
    ] = 9
    files_per_inode: Annotated[
        int,
        key.count(
            "files",
            "of a guest_memfd inode, each another VM's, which maps the shared side",
            1,
            FILES_MAX,
        ),
    ] = 1
    start: Annotated[
        Start,
        key.choice(Start, "state of the memory at time 0; those with 2m need page_order 9 or 18"),
    ] = "mapped-2m"
    accept_level: Annotated[Level, key.choice(Level, "largest page that the guest accepts at")] = (
        "2m"
    )
    sept_add: Annotated[
        bool,
        key.switch(
            "private faults pay for missing S-EPT tables (SEPT.ADD), and freeze what they change"
        ),
    ] = False
    td_pinned: Annotated[
        bool,
        key.switch(
            "trusted IO: nobody can BLOCK what the guest has accepted before it releases it; 4 KiB leaves only"
        ),
    ] = False
    terminate: Annotated[
        bool,
        key.switch(
            "a VMM that ends calls KVM_TDX_TERMINATE_VM: the HKID goes first, then each page takes one RECLAIM"
        ),
    ] = False
    guest_inhibit: Annotated[
        Inhibit,
        key.choice(
            Inhibit,
            "KVM keeps small what was accepted so: no, by a mark under mmu_lock, by the lock each time",
        ),
    ] = "off"
    devices: Annotated[
        int, key.count("devices", "behind the IOMMU, map shared memory; 0 = no IOMMU domain", 0, 64)
    ] = 1
    iommu: Annotated[
        Iommu,
        key.choice(
            Iommu,
            "device mappings: guest_memfd has the driver unmap, or each holds pins and the VMM must",
        ),
    ] = "notify"
    backend: Annotated[
        Backend,
        key.choice(
            Backend,
            "both sides in one file, or the shared side in another, whose pages are discarded; needs iommu = pin",
        ),
    ] = "in-place"
    inval_fail: Annotated[
        InvalFail,
        key.choice(
            InvalFail,
            "an IOTLB invalidation held up by a device: error after prepare_timeout, or a wait with the queue held",
        ),
    ] = "error"
    iotlb_outliers: Annotated[
        bool,
        key.switch("invalidations are held up as rarely, and as long, as cost iotlb_outlier says"),
    ] = False
    track: Annotated[Track, key.choice(Track, "TRACK and kick for each page or each step")] = "page"
    busy: Annotated[
        Busy,
        key.choice(
            Busy,
            "a SEAMCALL is BUSY where a lock that it needs is held, or a BLOCK by a rate while vCPUs accept",
        ),
    ] = "emergent"
    busy_accepting: Annotated[
        float, key.number("probability", "busy = rate: a BLOCK is BUSY while vCPUs accept")
    ] = 1e-4
    busy_storm: Annotated[
        float, key.number("probability", "busy = rate: the same beside an ACCEPT while vCPUs tick")
    ] = 1e-2
    busy_background: Annotated[
        float,
        key.number("probability", "a SEAMCALL's first try is BUSY for reasons outside the model"),
    ] = 0.0
    interrupt_probability: Annotated[
        float, key.number("probability", "a step of MapGPA meets a pending interrupt")
    ] = 0.1
    guest_retries: Annotated[
        int,
        key.count("tries", "more by the guest where one came no further, after the first", 0, 100),
    ] = 2
    reaction: Annotated[
        Reaction, key.choice(Reaction, "of the guest, once a conversion has failed for good")
    ] = "leak"


class Vmm(Section, frozen=True):
    """[vmm]: how the VMM goes on after a refusal."""

    retry: Annotated[Retry, key.choice(Retry, "policy after a refusal that may pass")] = "backoff"
    retry_first: Annotated[int, key.duration("first pause", at_most="retry_max")] = MS
    retry_max: Annotated[int, key.duration("longest pause")] = 100 * MS
    retry_tries: Annotated[
        int,
        key.count(
            "tries", "before the VMM gives up; retry = cooperative: without progress", 1, 1_000_000
        ),
    ] = 10
    listeners: Annotated[
        int,
        key.count(
            "listeners", "each with a domain of the IOMMU; 0 = none is told (two-backends)", 0, 15
        ),
    ] = 1
    unmap: Annotated[
        Literal["first", "on-eagain"],
        key.choice(
            ("first", "on-eagain"),
            "iommu = pin: before the ioctl, or where it was refused (retry = cooperative)",
        ),
    ] = "first"


class Protocol(Section, frozen=True):
    """[protocol]: how a conversion is agreed on."""

    name: Annotated[str, key.choice(PROTOCOLS, "conversion protocol")] = "two-phase"
    prepare_timeout: Annotated[
        int,
        key.duration(
            "longest wait for the consumers' answers to prepare", low=PREPARE_TIMEOUT_NS_MIN
        ),
    ] = SECOND
    freeze_budget: Annotated[
        int, key.duration("C, C', C0: longest wait for a short reference once LRU is drained")
    ] = 100 * DURATIONS["us"]
    freeze_at: Annotated[
        Literal["prepare", "commit"],
        key.choice(("prepare", "commit"), "C, C', C0: since when faults wait"),
    ] = "prepare"
    host_unmap: Annotated[
        Literal["late", "early-saved"],
        key.choice(
            ("late", "early-saved"),
            "C, C', C0: host page tables go in COMMIT, or in PREPARE with a list",
        ),
    ] = "late"
    iommu_prepare: Annotated[
        Literal["check-only", "unmap-early"],
        key.choice(
            ("check-only", "unmap-early"), "what the IOMMU driver does when it is asked to prepare"
        ),
    ] = "check-only"
    on_poison: Annotated[
        Literal["bail", "proceed-rest"],
        key.choice(("bail", "proceed-rest"), "C: store nothing, or all but the poisoned pages"),
    ] = "bail"
    prepare_busy: Annotated[
        Literal["protocol", "refuse", "bug"],
        key.choice(
            ("protocol", "refuse", "bug"),
            "BUSY twice, or DEMOTE interrupted, while splitting: a no, or KVM_BUG_ON; protocol = its own way",
        ),
    ] = "protocol"
    post_commit_check: Annotated[
        Literal["none", "fail-efault"],
        key.choice(("none", "fail-efault"), "C': look for references that a bug in COMMIT left"),
    ] = "none"
    on_error: Annotated[
        Literal["leave", "remap"],
        key.choice(
            ("leave", "remap"),
            "A: leave unmapped what was unmapped before a failure, or map it again",
        ),
    ] = "leave"
    mark: Annotated[
        str,
        key.choice(
            MARKINGS,
            "of a page that cannot be unmapped; mixed: refcount and none by turns, host by host; "
            "what is none of these three is for C, C', C0",
        ),
    ] = "protocol"
    bug_on: Annotated[
        Literal["protocol", "yes", "no"],
        key.choice(("protocol", "yes", "no"), "such a page is KVM_BUG_ON; C' goes on without"),
    ] = "protocol"
    swallow_enomem: Annotated[
        bool, key.switch("B, B1: ENOMEM while ranges are listed is lost, as in RFC v2 (AN19)")
    ] = True
    per_file: Annotated[
        bool,
        key.switch(
            "B1: split and zap file by file, as in June 2025, instead of splitting all first"
        ),
    ] = False
    store_first: Annotated[
        bool,
        key.switch("B2H: store before the invalidation ends, which closes the window RW1 (AN20)"),
    ] = False
    zap_first: Annotated[
        Literal["yes", "no", "mixed"],
        key.choice(
            ("yes", "no", "mixed"),
            "B2H: the fix-up that zaps before the folio is split (without it AN21); mixed: by turns, host by host",
        ),
    ] = "yes"
    uniform_split: Annotated[
        bool, key.switch("a 1 GiB folio is split into 262,144 small ones at once, as in RFC v2")
    ] = False
    notifier_scope: Annotated[
        NotifierScope,
        key.choice(
            NotifierScope,
            "which callbacks may fail under failable-notifier: all, or guest_memfd's alone",
        ),
    ] = "mmu_notifier"


class Costs(Section, frozen=True):
    """[costs]: how long each step takes."""

    model: Annotated[str, key.text("cost model, versioned by its name")] = "tdx-2026"
    override: Annotated[
        dict[str, str | float | int], key.costs('cost to its value, such as "3us" or 0.5')
    ] = msgspec.field(default_factory=dict)


class Fault(Section, frozen=True):
    """[[fault]]: one kind of failure, where and when it may happen."""

    point: Annotated[str, key.text("fault point; gmemsim list faults names them")] = ""
    reason: Annotated[
        str, key.choice(FAULT_REASONS, "class of the failure; own = what is natural at the point")
    ] = "own"
    probability: Annotated[float, key.number("probability", "of failing, at each opportunity")] = (
        1.0
    )
    nth: Annotated[
        tuple[int, ...],
        key.counts(
            "opportunities",
            "those that fail in each VM, counted from 1; empty = by probability",
            low=1,
        ),
    ] = ()
    every: Annotated[
        int, key.count("opportunities", "the last of so many fails in each VM; 0 = by probability")
    ] = 0
    lasts: Annotated[
        int, key.duration("simulated time for which all of a VM fail, once one has", low=0)
    ] = 0
    also: Annotated[
        tuple[str, ...], key.texts("fault points", "that fail with it for this time, too")
    ] = ()
    # `from` is a word of Python's, so both ends carry their unit.
    start_ns: Annotated[int, key.duration("simulated time at which the failures begin", low=0)] = (
        msgspec.field(default=0, name="from")
    )
    until_ns: Annotated[
        int, key.duration("simulated time at which they end; 0ns = the run's end", low=0)
    ] = msgspec.field(default=0, name="until")
    hosts: Annotated[tuple[int, ...], key.counts("hosts", "numbers from 0; empty = all")] = ()
    vms: Annotated[
        tuple[int, ...],
        key.counts("VMs", "numbers from 0 on each of hosts: 7 is VM 7 of every one; empty = all"),
    ] = ()
    memory: Annotated[
        tuple[int, ...],
        key.sizes("guest memory from the first size to the second; empty = all", step=PAGE_BYTES),
    ] = msgspec.field(default=(), name="range")


class Engine(Section, frozen=True):
    """[engine]: what runs the simulation; never changes its outcome."""

    executor: Annotated[Executor, key.choice(Executor, "one process, or partitions on Ray")] = (
        "local"
    )
    partitions: Annotated[int, key.count("partitions", "0 = one for each CPU", 0, 4096)] = 0
    placement: Annotated[str, key.choice(PLACEMENTS, "which actors share a partition")] = "packed"
    yield_after: Annotated[int, key.duration("wall time after which a partition reports")] = (
        200 * MS
    )
    checkpoint_interval: Annotated[
        int,
        key.duration(
            "least wall time between two checkpoints, or 20 times that of the last if longer; 0s = none",
            low=0,
        ),
    ] = 30 * SECOND
    pace: Annotated[
        int,
        key.duration(
            "simulated time in each second of wall time at most; 0s = as much as can be", low=0
        ),
    ] = 0


class Metrics(Section, frozen=True):
    """[metrics]: the Prometheus exporter, and what is recorded beside the counts."""

    port: Annotated[int, key.count("port", "-1 = off, 0 = any free one", -1, 65_535)] = -1
    linger: Annotated[int, key.duration("wall time for a last scrape after the run", low=0)] = 0
    timelines: Annotated[
        tuple[str, ...],
        key.texts("HOST/VM", "VMs whose timelines are written, such as 0/3; numbers from 0"),
    ] = ()
