"""What the guests do: the kinds of [[workload]], a union tagged by `kind`."""

import typing
from typing import Annotated, Literal

from workloads.scenario import keys as key
from workloads.scenario.keys import Section
from workloads.scripts import EXAMPLE, VERBS
from workloads.units import DURATIONS, SIZES

KIB, MIB, GIB = SIZES["KiB"], SIZES["MiB"], SIZES["GiB"]

Pace = Literal["recorded", "rate", "back-to-back"]
AliasAccess = Literal["accept", "read"]
ChurnPace = Literal["closed", "open"]


class Workload(Section, frozen=True, tag_field="kind"):
    """What all kinds share."""

    share: Annotated[
        float, key.number("weight", "VMs are dealt out to the workloads in proportion", 1e-6, 1e6)
    ] = 1.0

    @property
    def kind(self) -> str:
        """The name under which scenarios and reports know this workload."""
        return kind_of(type(self))


class Trace(Workload, frozen=True, tag="trace"):
    """The conversions of a QEMU trace log, one log for each VM in turn."""

    log: Annotated[
        tuple[str, ...], key.texts("files", "QEMU trace logs, or names of shipped ones")
    ] = ()
    pace: Annotated[
        Pace, key.choice(Pace, "the log's own times, a fixed rate, or as fast as answers come")
    ] = "recorded"
    rate: Annotated[
        float, key.number("per second", "conversions by each VM, for pace = rate", 1e-6, 1e9)
    ] = 1000.0
    outstanding: Annotated[
        int, key.count("conversions", "of a VM at once, for pace = back-to-back", 1, 1_000_000)
    ] = 1
    speed: Annotated[float, key.number("factor", "recorded times are divided by it", 1e-6, 1e9)] = (
        1.0
    )


class Churn(Workload, frozen=True, tag="churn"):
    """Loops on random ranges, after the answer or at times of their own: to shared, use, back to private."""

    pace: Annotated[
        ChurnPace,
        key.choice(
            ChurnPace, "closed: after the answer; open: at rate, whatever became of the one before"
        ),
    ] = "closed"
    rate: Annotated[
        float, key.number("per second", "conversions by each VM, for pace = open", 1e-6, 1e9)
    ] = 1000.0
    outstanding: Annotated[int, key.count("loops", "in each VM at once", 1, 4096)] = 4
    think: Annotated[
        int,
        key.duration("mean pause of a loop before it begins anew, exponential, for pace = closed"),
    ] = 100 * DURATIONS["us"]
    size_mean: Annotated[int, key.size("mean length of a range", at_most="size_max")] = 16 * KIB
    size_max: Annotated[int, key.size("longest range", low=4 * KIB, step=4 * KIB)] = 2 * MIB
    touch: Annotated[
        float, key.number("probability", "the guest uses the memory between the conversions")
    ] = 0.5


class Boot(Workload, frozen=True, tag="boot"):
    """A guest's boot: firmware's small conversions, swiotlb's large one, then memory to accept."""

    swiotlb_fraction: Annotated[float, key.number("fraction", "of memory that becomes swiotlb")] = (
        0.06
    )
    swiotlb_min: Annotated[int, key.size("smallest swiotlb", at_most="swiotlb_max")] = 64 * MIB
    swiotlb_max: Annotated[int, key.size("largest swiotlb")] = GIB
    firmware_conversions: Annotated[int, key.count("conversions", "small ones by the firmware")] = (
        5000
    )
    firmware_range: Annotated[
        int, key.size("memory that the firmware's buffers come from", low=4 * KIB, step=4 * KIB)
    ] = 20 * MIB
    accept: Annotated[
        int, key.size("accepted at boot by a guest whose memory starts unaccepted", low=0)
    ] = 64 * MIB
    pace: Annotated[
        ChurnPace,
        key.choice(
            ChurnPace,
            "closed: step after step; open: each at its own time, so that nothing is timed as a boot",
        ),
    ] = "closed"
    rate: Annotated[
        float, key.number("per second", "steps of each VM, for pace = open", 1e-6, 1e9)
    ] = 5000.0
    accept_vcpus: Annotated[int, key.count("vCPUs", "accept it side by side", 1, 1024)] = 1
    ticking_vcpus: Annotated[
        int, key.count("vCPUs", "of the busy ones, are idle and tick meanwhile", 0, 1024)
    ] = 0


class HotRange(Workload, frozen=True, tag="hot-range"):
    """Some vCPUs convert a region each to shared and back, again and again."""

    region: Annotated[int, key.size("length of a vCPU's region", low=4 * KIB, step=4 * KIB)] = (
        2 * MIB + 4 * KIB
    )
    rounds: Annotated[int, key.count("rounds", "there and back", 1)] = 4
    vcpus: Annotated[int, key.count("vCPUs", "that do so at the same time", 1, 1024)] = 4
    pace: Annotated[ChurnPace, key.choice(ChurnPace, "as of kind churn")] = "closed"
    rate: Annotated[
        float, key.number("per second", "conversions by each VM, for pace = open", 1e-6, 1e9)
    ] = 1000.0


class PoolWorkload(Workload, frozen=True):
    """What kinds share whose conversions take pieces of a shared pool back and share them again."""

    pool: Annotated[
        int,
        key.size("memory that is shared at the start, as swiotlb is", low=4 * KIB, step=4 * KIB),
    ] = 16 * MIB
    pace: Annotated[ChurnPace, key.choice(ChurnPace, "of the conversions, as of kind churn")] = (
        "closed"
    )
    conversion_rate: Annotated[
        float, key.number("per second", "conversions by each VM, for pace = open", 1e-6, 1e9)
    ] = 1000.0
    outstanding: Annotated[int, key.count("loops", "in each VM at once", 1, 4096)] = 4
    think: Annotated[
        int,
        key.duration("mean pause of a loop between conversions, exponential, for pace = closed"),
    ] = 100 * DURATIONS["us"]
    size_mean: Annotated[int, key.size("mean length of a piece", at_most="size_max")] = 64 * KIB
    size_max: Annotated[int, key.size("longest piece", low=4 * KIB, step=4 * KIB)] = 2 * MIB


class NotifierStorm(PoolWorkload, frozen=True, tag="notifier-storm"):
    """Callers of mmu_notifiers on ranges of a shared pool, pieces of which are converted meanwhile."""

    rate: Annotated[float, key.number("per second", "calls in each VM, Poisson", 1e-3, 1e9)] = (
        1000.0
    )
    chains: Annotated[
        float, key.number("share", "of the calls by chains that cannot fail: N1 to N7, K1 to K5")
    ] = 0.5
    reaper: Annotated[
        float, key.number("share", "of the calls by the OOM reaper; the rest is any of the 34")
    ] = 0.02
    range_mean: Annotated[int, key.size("mean length of a caller's range, exponential")] = 256 * KIB


class PinHolders(PoolWorkload, frozen=True, tag="pin-holders"):
    """udmabuf, vhost or RDMA pin pages of a shared pool, pieces of which are converted meanwhile."""

    pinned: Annotated[float, key.number("share", "of the pool that is pinned on average")] = 0.01
    pin_mean: Annotated[int, key.size("mean length of a pin, exponential")] = 16 * KIB
    hold: Annotated[int, key.duration("mean time for which a pin is held, lognormal")] = (
        10 * DURATIONS["ms"]
    )
    hold_sigma: Annotated[float, key.number("sigma", "of the logarithm of the hold", 0, 4)] = 2.0
    hold_max: Annotated[int, key.duration("longest hold")] = DURATIONS["s"]


class ChurnBeside(Workload, frozen=True):
    """What kinds share in which churn goes on beside something else."""

    pace: Annotated[ChurnPace, key.choice(ChurnPace, "of churn")] = "closed"
    conversion_rate: Annotated[
        float, key.number("per second", "conversions by each VM, for pace = open", 1e-6, 1e9)
    ] = 1000.0
    outstanding: Annotated[int, key.count("loops", "of churn in each VM at once", 1, 4096)] = 4


class MemoryPressure(ChurnBeside, frozen=True, tag="memory-pressure"):
    """Churn, while processes of the host take pages of its pool (fleet.spare_memory) and give them back."""

    rate: Annotated[float, key.number("per second", "takes for each VM, Poisson", 1e-3, 1e9)] = (
        1000.0
    )
    take_mean: Annotated[int, key.size("mean size of a take, exponential")] = 4 * MIB
    hold: Annotated[int, key.duration("mean time until a take goes back, exponential")] = (
        5 * DURATIONS["ms"]
    )


class MemoryFailures(ChurnBeside, frozen=True, tag="memory-failure"):
    """Churn, while frames behind the guest's memory fail: their folios are unmapped and never used again."""

    rate: Annotated[float, key.number("per second", "failures in each VM, Poisson", 1e-3, 1e9)] = (
        10.0
    )


class Balloon(Workload, frozen=True, tag="balloon"):
    """A balloon inflates by 2 MiB blocks, which become holes of guest_memfd, and deflates; churn goes on beside it."""

    size: Annotated[int, key.size("full balloon", low=2 * MIB, step=2 * MIB)] = 64 * MIB
    rate: Annotated[float, key.number("per second", "blocks in each VM, Poisson", 1e-3, 1e9)] = (
        100.0
    )
    rounds: Annotated[int, key.count("rounds", "full and empty again", 1)] = 1
    pace: Annotated[
        ChurnPace, key.choice(ChurnPace, "of the blocks and of churn, as of kind churn")
    ] = "closed"
    conversion_rate: Annotated[
        float,
        key.number("per second", "conversions of churn by each VM, for pace = open", 1e-6, 1e9),
    ] = 1000.0
    outstanding: Annotated[int, key.count("loops", "of churn in the rest of memory", 0, 4096)] = 1


class Sweep(Workload, frozen=True, tag="sweep"):
    """All of memory is converted window by window, as a migration would, while the guest writes."""

    window: Annotated[int, key.size("memory of one MapGPA call", low=4 * KIB, step=4 * KIB)] = GIB
    passes: Annotated[int, key.count("passes", "to shared, to private, and so on", 1)] = 2
    pace: Annotated[ChurnPace, key.choice(ChurnPace, "of the windows, as of kind churn")] = "closed"
    rate: Annotated[
        float, key.number("per second", "windows of each VM, for pace = open", 1e-6, 1e9)
    ] = 1.0
    writers: Annotated[int, key.count("vCPUs", "that write meanwhile", 0, 1024)] = 2
    write_rate: Annotated[
        float, key.number("per second", "writes by each VM at most", 1e-3, 1e9)
    ] = 10_000.0
    write_size: Annotated[int, key.size("memory of one write", low=4 * KIB, step=4 * KIB)] = 4 * KIB


class Shutdown(Workload, frozen=True, tag="shutdown"):
    """A guest takes all shared memory back, as Linux does before kexec, and its VMM exits: N8, release, teardown."""

    shared: Annotated[
        int, key.size("memory that is shared until then", low=4 * KIB, step=4 * KIB)
    ] = 64 * MIB
    pace: Annotated[
        ChurnPace,
        key.choice(
            ChurnPace,
            "closed: step after step; open: taken back at uptime, and the VMM exits at uptime + grace",
        ),
    ] = "closed"
    uptime: Annotated[int, key.duration("time between sharing it and taking it back")] = (
        10 * DURATIONS["ms"]
    )
    grace: Annotated[
        int,
        key.duration("time from then to the exit for pace = open; what is under way dies with it"),
    ] = 10 * DURATIONS["ms"]


class Hostile(Workload, frozen=True, tag="hostile"):
    """One vCPU converts a range to shared and back for ever; others use its private alias and wait for nobody."""

    size: Annotated[int, key.size("the range", low=4 * KIB, step=4 * KIB)] = 4 * KIB
    vcpus: Annotated[int, key.count("vCPUs", "that use the private alias", 1, 1024)] = 3
    access_size: Annotated[
        int,
        key.size(
            "memory of one access, somewhere in the range",
            low=4 * KIB,
            step=4 * KIB,
            at_most="size",
        ),
    ] = 4 * KIB
    access: Annotated[
        AliasAccess,
        key.choice(
            AliasAccess,
            "accept it again and again; or read it, which kills the VM once it is not accepted",
        ),
    ] = "accept"
    pause: Annotated[
        int, key.duration("mean pause of each of them between two accesses, exponential")
    ] = 10 * DURATIONS["us"]
    pace: Annotated[
        ChurnPace, key.choice(ChurnPace, "of the other one's conversions, as of kind churn")
    ] = "closed"
    rate: Annotated[
        float, key.number("per second", "its conversions, for pace = open", 1e-6, 1e9)
    ] = 1000.0
    think: Annotated[
        int,
        key.duration(
            "mean pause of the other one between two conversions, exponential, for pace = closed"
        ),
    ] = 10 * DURATIONS["us"]
    touch: Annotated[
        float, key.number("probability", "that one uses the memory while it is shared")
    ] = 0.0
    back: Annotated[
        float,
        key.number(
            "probability", "it takes the range back; else it shares again what the others took back"
        ),
    ] = 1.0


class DmaStorm(Workload, frozen=True, tag="dma-storm"):
    """Devices read and write a shared pool; conversions go on beside it, and now and then in it."""

    pool: Annotated[
        int, key.size("memory that becomes shared at the start, for DMA", low=2 * MIB, step=2 * MIB)
    ] = 8 * MIB
    streams: Annotated[
        int, key.count("streams", "of DMA at once, each in a part of the pool", 1, 64)
    ] = 4
    dma_rate: Annotated[float, key.number("per second", "DMAs of each stream", 1e-3, 1e9)] = (
        100_000.0
    )
    dma_mean: Annotated[int, key.size("mean length of a DMA", at_most="dma_max")] = 4 * KIB
    dma_max: Annotated[int, key.size("longest DMA", low=4 * KIB, step=4 * KIB)] = 64 * KIB
    windows: Annotated[
        float,
        key.number("per second", "times that a stream has a window mapped anew by the VMM", 0, 1e6),
    ] = 100.0
    window_min: Annotated[
        int, key.size("shortest window", low=4 * KIB, step=4 * KIB, at_most="window_max")
    ] = 64 * KIB
    window_max: Annotated[
        int,
        key.size("longest window, and no longer than a stream's part", low=4 * KIB, step=4 * KIB),
    ] = 2 * MIB
    pace: Annotated[
        ChurnPace,
        key.choice(
            ChurnPace,
            "of conversions; closed: after the answer; open: at rate, whatever became of it",
        ),
    ] = "closed"
    rate: Annotated[
        float, key.number("per second", "conversions by each VM, for pace = open", 1e-6, 1e9)
    ] = 1000.0
    outstanding: Annotated[
        int, key.count("loops", "of conversions in each VM at once", 1, 4096)
    ] = 4
    think: Annotated[
        int,
        key.duration("mean pause of a loop before it begins anew, exponential, for pace = closed"),
    ] = 100 * DURATIONS["us"]
    size_mean: Annotated[int, key.size("mean length of a range", at_most="size_max")] = 16 * KIB
    size_max: Annotated[int, key.size("longest range", low=4 * KIB, step=4 * KIB)] = 2 * MIB
    pool_hits: Annotated[
        float, key.number("probability", "a conversion takes a part of the pool away, for a while")
    ] = 0.01


class Script(Workload, frozen=True, tag="script"):
    """What each vCPU does, word by word: small cases, and what the explorer goes through in every order."""

    lanes: Annotated[
        tuple[str, ...],
        key.texts("vCPUs", f"what each of them does, as in {EXAMPLE}; verbs: {', '.join(VERBS)}"),
    ] = ("use 0B+4KiB, private 0B+4KiB",)
    pace: Annotated[ChurnPace, key.choice(ChurnPace, "as of kind churn")] = "closed"
    rate: Annotated[
        float, key.number("per second", "steps by each VM, for pace = open", 1e-6, 1e9)
    ] = 1000.0


AnyWorkload = (
    Trace
    | Churn
    | Boot
    | HotRange
    | Hostile
    | DmaStorm
    | NotifierStorm
    | PinHolders
    | MemoryPressure
    | MemoryFailures
    | Balloon
    | Sweep
    | Shutdown
    | Script
)


def kind_of(workload: type[Workload]) -> str:
    """The tag of a class of workloads."""
    tag = workload.__struct_config__.tag
    assert isinstance(tag, str), f"{workload.__name__} has no kind"
    return tag


KINDS: dict[str, type[AnyWorkload]] = {kind_of(kind): kind for kind in typing.get_args(AnyWorkload)}
DEFAULT_KIND = kind_of(Churn)
