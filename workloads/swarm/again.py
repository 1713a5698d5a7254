"""The same scenario in two partitions: whatever happens, its digest has to be that of one process."""

import msgspec

from cluster import run as engine
from cluster.drive import Unwatched
from cluster.run import Executor
from workloads import simulate
from workloads.scenario import Scenario
from workloads.swarm.trial import Failure, plain

PLACEMENTS = ("packed", "kind")  # by turns: whole hosts, and hosts in pieces
PARTITIONS = 2


def differs(
    scenario: Scenario, digest: str, executor: str, address: str | None, turn: int
) -> Failure | None:
    """Run it again, on Ray, or in two partitions of this process; tells where it comes to another digest."""
    placement = PLACEMENTS[turn % len(PLACEMENTS)]
    if executor == "ray":
        how = Executor("ray", PARTITIONS, placement, address)
        found = on_ray(plain(scenario), how)
    else:
        found = in_pieces(plain(scenario), Executor("ray", PARTITIONS, placement))
    if found == digest:
        return None
    where = f"{PARTITIONS} partitions, placement {placement}"
    return Failure("digest", (placement,), (f"{where}: {found}, expected {digest}",))


def on_ray(scenario: Scenario, how: Executor) -> str:
    """Its digest."""
    settings = msgspec.structs.replace(
        scenario.engine, executor="ray", partitions=how.partitions, placement=how.placement
    )
    job = simulate.prepare(msgspec.structs.replace(scenario, engine=settings))
    return simulate.run(job, Unwatched(), how.address).digest


def in_pieces(scenario: Scenario, how: Executor) -> str:
    """Its digest."""
    job = simulate.prepare(scenario)
    fleet = simulate.fleet_of(job.plan)
    return engine.run_on(fleet, how, engine.in_this_process, job.page, Unwatched()).digest
