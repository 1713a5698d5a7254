"""What theory says of queues that have run for ever. Rates are per unit of time, times in the same unit."""

from collections.abc import Sequence


def mm1_time(arrivals: float, services: float) -> float:
    """Mean time in an M/M/1 queue: 1 / (mu - lambda). L. Kleinrock, Queueing Systems I (1975), section 3.2."""
    return 1 / (services - arrivals)


def mg1_time(arrivals: float, mean: float, squared: float) -> float:
    """Mean time in an M/G/1 queue from the service's two moments (Pollaczek and Khinchine; Kleinrock I, 5.7)."""
    return mean + arrivals * squared / (2 * (1 - arrivals * mean))


def erlang_c(servers: int, load: float) -> float:
    """The share that waits in an M/M/c queue of this load (lambda / mu), by Erlang's B (A. K. Erlang, 1917)."""
    blocked = 1.0
    for server in range(1, servers + 1):
        blocked = load * blocked / (server + load * blocked)
    return servers * blocked / (servers - load * (1 - blocked))


def mmc_time(arrivals: float, services: float, servers: int) -> float:
    """Mean time in an M/M/c queue (Kleinrock I, section 3.5)."""
    waits = erlang_c(servers, arrivals / services)
    return waits / (servers * services - arrivals) + 1 / services


def repair_time(machines: int, up: float, repair: float) -> float:
    """Mean time of a failed machine until it works again: M/M/1//N, machines that work and one repairman.

    From the chance of an idle repairman, p0 (Kleinrock I, section 3.8): N repair / (1 - p0) - up.
    """
    weight, total = 1.0, 1.0
    for failed in range(1, machines + 1):
        weight *= (machines - failed + 1) * repair / up
        total += weight
    return machines * repair / (1 - 1 / total) - up


def closed_times(customers: int, means: Sequence[float]) -> list[float]:
    """Mean time at each single exponential desk of a cycle (Gordon and Newell), by mean value analysis.

    Who comes finds what one customer less would leave there. M. Reiser, S. S. Lavenberg, J. ACM 27 (1980).
    """
    there = [0.0] * len(means)
    times = list(means)
    for population in range(1, customers + 1):
        times = [mean * (1 + here) for mean, here in zip(means, there, strict=True)]
        throughput = population / sum(times)
        there = [throughput * time for time in times]
    return times
