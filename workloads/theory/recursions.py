"""The same draws without any engine: recursions for the times at desks, in integer nanoseconds.

They know no events, no queue and no actor, only who follows whom. What they share with the engine is where a number
comes from: the n-th draw of an actor, and the nanoseconds that a cost makes of it.
"""

from collections.abc import Iterable, Iterator, Sequence
from heapq import heapify, heapreplace
from itertools import count, islice

from cluster.costs import Cost, sum_of, time_of
from cluster.draws import block, key_of


def drawn(seed: int, address: int, cost: Cost) -> Iterator[int]:
    """What an actor draws for a cost, one after the other, where it draws nothing else."""
    service = sum_of(cost, 1)
    key = key_of(seed, "cost", address)
    for number in count():
        for draw in block(key, number):
            yield time_of(service, draw)


def arrivals(intervals: Iterable[int], customers: int, link: int) -> list[int]:
    """When they come to the desk: the first leaves its source at 1 ns."""
    found = [1 + link]
    for interval in islice(intervals, customers - 1):
        found.append(found[-1] + interval)
    return found


def lindley(came: Sequence[int], services: Iterator[int]) -> list[tuple[int, int]]:
    """(wait, service) at a single server: W' = max(0, W + S - A). D. V. Lindley, Proc. Camb. Phil. Soc. 48 (1952)."""
    found = []
    wait, before = 0, came[0]
    work = 0
    for at in came:
        wait = max(0, wait + work - (at - before))
        work, before = next(services), at
        found.append((wait, work))
    return found


def kiefer_wolfowitz(
    came: Sequence[int], services: Iterator[int], servers: int
) -> list[tuple[int, int]]:
    """The same at several: what each of them has still to do, in order. Trans. Amer. Math. Soc. 78 (1955)."""
    found = []
    left, before = [0] * servers, came[0]
    for at in came:
        left = [max(0, each - (at - before)) for each in left]
        wait, work = left[0], next(services)
        found.append((wait, work))
        left = sorted([wait + work, *left[1:]])
        before = at
    return found


def repairs(
    up: Sequence[Iterator[int]], services: Iterator[int], each: int, link: int
) -> list[tuple[int, int, int]]:
    """(machine, wait, service) by repair: whoever has failed first is next, and works on a link after its repair."""
    failures = [(1 + next(own) + link, machine) for machine, own in enumerate(up)]
    left = [each - 1] * len(up)
    heapify(failures)
    free, found = 0, []
    never = max(at for at, _ in failures) << 60
    while failures[0][0] < never:
        at, machine = failures[0]
        wait, work = max(0, free - at), next(services)
        free = at + wait + work
        found.append((machine, wait, work))
        again = never
        if left[machine]:
            left[machine] -= 1
            again = free + link + next(up[machine]) + link
        heapreplace(failures, (again, machine))
    return found


def rounds(
    services: Sequence[Iterator[int]], customers: int, each: int, link: int
) -> list[list[tuple[int, int]]]:
    """(wait, service) by desk and visit, of customers who go round single desks and never overtake.

    The n-th at a desk begins when the n-th has left the desk before it, and the (n - 1)-th this one: at the first desk,
    the (n - customers)-th the last one. F. Baccelli et al., Synchronization and Linearity (1992), chapter 9.
    """
    total = customers * each
    left = [[0] * total for _ in services]
    found: list[list[tuple[int, int]]] = [[] for _ in services]
    for n in range(total):
        came = 1
        if n >= customers:
            came = left[-1][n - customers] + link
        for desk, own in enumerate(services):
            free = left[desk][n - 1] if n else 0
            wait, work = max(0, free - came), next(own)
            left[desk][n] = came + wait + work
            found[desk].append((wait, work))
            came = left[desk][n] + link
    return found
