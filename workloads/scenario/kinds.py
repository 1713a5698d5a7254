"""What the guests do: the kinds of [[workload]], a union tagged by `kind`."""

from typing import Annotated, Literal

from workloads.scenario import keys as key
from workloads.scenario.keys import Section
from workloads.units import DURATIONS, SIZES

KIB, MIB, GIB = SIZES["KiB"], SIZES["MiB"], SIZES["GiB"]

Pace = Literal["recorded", "rate", "back-to-back"]
ChurnPace = Literal["closed", "open"]


class Workload(Section, frozen=True, tag_field="kind"):
    """What all kinds share."""

    share: Annotated[
        float, key.number("weight", "VMs are dealt out to the workloads in proportion", 1e-6)
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


AnyWorkload = Trace | Churn | Boot | HotRange


def kind_of(workload: type[Workload]) -> str:
    """The tag of a class of workloads."""
    tag = workload.__struct_config__.tag
    assert isinstance(tag, str), f"{workload.__name__} has no kind"
    return tag


KINDS: dict[str, type[Trace | Churn | Boot | HotRange]] = {
    kind_of(kind): kind for kind in (Trace, Churn, Boot, HotRange)
}
DEFAULT_KIND = kind_of(Churn)
