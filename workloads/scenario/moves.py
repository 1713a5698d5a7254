"""[moves]: which VMs of a fleet move to other hosts, and when."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Literal

from workloads.scenario import keys as key
from workloads.scenario.keys import Section
from workloads.units import DURATIONS

if TYPE_CHECKING:
    from workloads.scenario.struct import Scenario

SECOND, MS = DURATIONS["s"], DURATIONS["ms"]
Kind = Literal["none", "poisson", "evacuate"]


class Moves(Section, frozen=True):
    """[moves]: VMs that move between hosts, one at a time into or out of a host; arrivals.policy says where to."""

    kind: Annotated[
        Kind, key.choice(Kind, "nobody; any VM, at a rate; whole hosts, one after the other")
    ] = "none"
    rate: Annotated[
        float,
        key.number(
            "per second", "kind = poisson: moves in the fleet, as far as links are free", 1e-6, 1e6
        ),
    ] = 0.1
    hosts: Annotated[
        tuple[int, ...], key.counts("hosts", "kind = evacuate: which, in this order")
    ] = ()
    at: Annotated[int, key.duration("kind = evacuate: when the first one takes VMs no more")] = (
        60 * SECOND
    )
    away: Annotated[
        int,
        key.duration(
            "kind = evacuate: from when a host is empty until it is back, and the next one's turn"
        ),
    ] = 10 * SECOND
    pause: Annotated[
        int, key.duration("kind = evacuate: after a move that failed, until the next one begins")
    ] = 100 * MS
    patience: Annotated[
        int, key.duration("for what is under way in a VM to end; then the move is called off")
    ] = 2 * SECOND


def breaches(scenario: "Scenario") -> Iterator[tuple[str, str]]:
    """What it takes to move: somebody who says where to, another host, memory that can be read, a load that travels."""
    moves, fleet = scenario.moves, scenario.fleet
    if moves.kind == "none":
        return
    here = f'with moves.kind = "{moves.kind}"'
    if scenario.arrivals.kind == "none":
        yield (
            "moves.kind",
            f'found "{moves.kind}", expected "none": nobody places VMs (arrivals.kind = "none")',
        )
    if fleet.hosts < 2:
        yield "fleet.hosts", f"found {fleet.hosts}, expected 2 or more {here}"
    if scenario.vm.td_pinned:
        yield "vm.td_pinned", f"found true, expected false {here}: trusted devices do not travel"
    if moves.kind == "evacuate" and not moves.hosts:
        yield "moves.hosts", f"found none, expected the hosts to evacuate {here}"
    if moves.hosts and max(moves.hosts) >= fleet.hosts:
        text = f"found {max(moves.hosts)}, expected numbers from 0 to {fleet.hosts - 1}"
        yield "moves.hosts", text
    if len(set(moves.hosts)) < len(moves.hosts):
        twice = next(
            host for number, host in enumerate(moves.hosts) if host in moves.hosts[:number]
        )
        yield "moves.hosts", f"found {twice} twice, expected each host once"
