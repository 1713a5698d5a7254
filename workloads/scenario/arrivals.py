"""[arrivals]: who comes to a fleet and goes again, and where its controller puts them."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Literal

from actors.fleet.controller import POLICIES
from workloads.scenario import keys as key
from workloads.scenario.keys import Section
from workloads.scenario.kinds import Trace
from workloads.units import DURATIONS

if TYPE_CHECKING:
    from workloads.scenario.struct import Scenario

SECOND = DURATIONS["s"]
Kind = Literal["none", "closed", "poisson", "trace"]


class Arrivals(Section, frozen=True):
    """[arrivals]: VMs that come and go. Without them all places of the fleet are taken from the start."""

    kind: Annotated[
        Kind,
        key.choice(
            Kind, "nobody; so many VMs, each replaced when it is gone; at a rate; as a file says"
        ),
    ] = "none"
    policy: Annotated[
        str,
        key.choice(POLICIES, "the host with the lowest number, with most free places, or in turn"),
    ] = "least-loaded"
    population: Annotated[int, key.count("VMs", "kind = closed: in the fleet, or waiting", 1)] = 16
    pause: Annotated[
        int, key.duration("kind = closed: from a VM's end until another is asked for")
    ] = SECOND
    rate: Annotated[
        float, key.number("per second", "kind = poisson: requests for a VM", 1e-6, 1e6)
    ] = 0.2
    lifetime: Annotated[
        int,
        key.duration("closed, poisson: mean time from a boot to the departure, exponential"),
    ] = 120 * SECOND
    trace: Annotated[
        str, key.text('kind = trace: a file with a line "ARRIVAL LIFETIME" in seconds for each VM')
    ] = ""
    boots: Annotated[int, key.count("VMs", "boot on a host at once, at most", 1)] = 2
    queue: Annotated[
        int, key.count("requests", "wait for a host at most; more are turned away")
    ] = 1000


def breaches(scenario: "Scenario") -> Iterator[tuple[str, str]]:
    """What VMs that arrive take: places that are free again, memory that a boot accepts, no share of a total."""
    if scenario.arrivals.kind == "none":
        return
    here = f'with arrivals.kind = "{scenario.arrivals.kind}"'
    if scenario.fleet.reuse != "readmit":
        yield "fleet.reuse", f'found "{scenario.fleet.reuse}", expected "readmit" {here}'
    if scenario.vm.start != "unaccepted":
        yield "vm.start", f'found "{scenario.vm.start}", expected "unaccepted" {here}'
    if scenario.scenario.conversions:
        found = scenario.scenario.conversions
        yield "scenario.conversions", f"found {found}, expected 0 {here}: nobody knows who comes"
    for index, workload in enumerate(scenario.workload):
        if isinstance(workload, Trace):
            text = f'found "trace", expected another kind {here}: a log is of one VM, with memory of its own'
            yield f"workload.{index}.kind", text
    if scenario.arrivals.kind == "trace" and not scenario.arrivals.trace:
        yield "arrivals.trace", f"found no file, expected one {here}"
