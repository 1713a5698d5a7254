"""The whole model under the churn workload: events a second on each executor, and where time goes.

Then one VM of 1 TiB in one request. Only the events are timed, not building hosts or starting Ray.
"""

from collections.abc import Callable
from typing import Any

from benchmarks import big_request, common, sampling
from benchmarks.drive import Driven, simulate
from cluster import ray_partitions
from cluster.run import Executor
from workloads.scenario import Scenario

EXECUTORS = {
    "local": Executor("local"),
    "ray, 1 partition": Executor("ray", 1),
    "ray, 2 partitions": Executor("ray", 2),
}
TOP = 15


def scenario(hosts: int, conversions: int) -> Scenario:
    """The default scenario: churn, two-phase, no fault injected."""
    return common.scenario(
        f"fleet.hosts={hosts}", "fleet.vms_per_host=8", f"scenario.conversions={conversions}"
    )


def executors(wanted: Scenario, rounds: int) -> list[dict[str, Any]]:
    """One row for each executor; all must come to one digest."""
    last: dict[str, Driven] = {}

    def side(name: str) -> Callable[[], float]:
        def seconds() -> float:
            last[name] = simulate(wanted, EXECUTORS[name])
            return last[name].seconds

        return seconds

    with ray_partitions.cluster(None, 2):
        seconds = common.interleaved({name: side(name) for name in EXECUTORS}, rounds)
    digests = {driven.digest for driven in last.values()}
    assert len(digests) == 1, f"the executors differ: {digests}"
    return [row(name, seconds[name], seconds["local"], last[name]) for name in EXECUTORS]


def row(name: str, seconds: list[float], local: list[float], driven: Driven) -> dict[str, Any]:
    """One executor's figures."""
    events, conversions = driven.totals.events, driven.counter("conversions")
    middle, low, high = common.spread([events / taken for taken in seconds])
    return {
        "executor": name,
        "events/s": middle,
        "lowest": low,
        "highest": high,
        "us/event": 1e6 / middle,
        "events/conversion": events / conversions,
        "conversions/s": conversions * middle / events,
        "time / local": common.median_ratio(seconds, local),
    }


def shares(wanted: Scenario) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """(by part, by function), in percent of a local run."""
    with sampling.sampled() as samples:
        simulate(wanted)
    parts, functions = sampling.grouped(samples), sampling.top(samples, TOP)
    return (
        [{"part": name, "%": 100 * share} for name, share in parts.items()],
        [{"function": name, "%": 100 * share} for name, share in functions.items()],
    )


def main() -> None:
    parser = common.flags(__doc__)
    parser.add_argument("--hosts", type=int, default=16, help="of 8 VMs each")
    parser.add_argument("--conversions", type=int, default=16_000, help="of the fleet")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    wanted = scenario(options.hosts, options.conversions)
    rows = executors(wanted, options.rounds)
    parts, functions = shares(wanted)
    big = [big_request.measure()]
    result = {"executors": rows, "parts": parts, "functions": functions, "one_tib": big}
    common.publish(result, rows, options.json)
    if not options.json:
        for more in (parts, functions, big):
            print(f"\n{common.table(more)}")


if __name__ == "__main__":
    main()
