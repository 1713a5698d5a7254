"""The models: who there is, what they draw, which recursion they must follow and what theory says of them."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from actors.address import vm_address
from actors.contract import Actor
from actors.locks.lock import RwLock
from cluster.costs import EXPONENTIAL, EXPONENTIAL_SPREAD, Cost
from workloads.theory import formulas as f
from workloads.theory import recursions
from workloads.theory.engine import LINK_NS, Book, First, perform
from workloads.theory.stations import Desk, Due, Job, Machine, Servers, Source

UNIT_NS = 1_000_000_000
ERROR = 0.03
Times = list[list[tuple[int, int]]]
"""By desk, (wait, service) of each customer in the order in which they came."""


def exponential(name: str, mean: float) -> Cost:
    """In units of time."""
    return Cost(name, mean * UNIT_NS, EXPONENTIAL_SPREAD, EXPONENTIAL)


def constant(name: str, mean: float) -> Cost:
    """In units of time."""
    return Cost(name, mean * UNIT_NS, 0.0)


@dataclass(frozen=True)
class Figure:
    """A stationary mean: what theory says, and its value for each customer, in the order in which they left.

    `error` is the part of it that a row must be able to tell.
    """

    id: str
    what: str
    exact: float
    of: Callable[[Sequence[Book]], Sequence[float]]
    error: float = ERROR


@dataclass(frozen=True)
class Model:
    """`size` customers, repairs of a machine, or rounds; `build` and `follow` take it and a seed."""

    id: str
    what: str
    size: int
    costs: dict[str, Cost]
    desks: int
    build: Callable[["Model"], tuple[dict[int, Actor], First]]
    follow: Callable[["Model", int], Times]
    figures: tuple[Figure, ...]

    def run(self, seed: int) -> list[Book]:
        """On the engine."""
        actors, first = self.build(self)
        return perform(actors, first, tuple(self.costs.values()), self.desks, seed)

    def with_cost(self, cost: Cost) -> "Model":
        """The same with another cost, and the theory of the one before."""
        return replace(self, costs={**self.costs, cost.name: cost})

    def draws(self, seed: int, actor: int, cost: str) -> Iterator[int]:
        """What an actor will draw."""
        return recursions.drawn(seed, address(actor), self.costs[cost])


def address(actor: int) -> int:
    """Of the model's actors, from 0."""
    return vm_address(0, actor)


# --- who leaves when, and what is looked at ---------------------------------------------------------


def spent(desk: int) -> Callable[[Sequence[Book]], Sequence[float]]:
    """Time at a desk, in units."""
    return lambda books: [each / UNIT_NS for each in books[desk].spent]


def waited(books: Sequence[Book]) -> Sequence[float]:
    """1 for who has waited at the first desk."""
    return [float(wait > 0) for wait in books[0].waits]


def while_all_go_round(desk: int) -> Callable[[Sequence[Book]], Sequence[float]]:
    """Time at a desk as long as nobody has made the last of his visits: after that there are fewer customers."""

    def of(books: Sequence[Book]) -> Sequence[float]:
        book = books[desk]
        visits = Counter[int]()
        last = max(Counter(book.customers).values())
        for place, customer in enumerate(book.customers):
            visits[customer] += 1
            if visits[customer] == last:
                return spent(desk)(books)[:place]
        raise AssertionError("nobody has come to an end")

    return of


def in_all(books: Sequence[Book]) -> Sequence[float]:
    """Time at all desks; customers come to each in one order."""
    return [sum(each) / UNIT_NS for each in zip(*(book.spent for book in books), strict=True)]


# --- open: a source and desks one after the other ------------------------------------------------------


def open_line(
    servers: int = 1, desks: int = 1
) -> Callable[[Model], tuple[dict[int, Actor], First]]:
    """Actor 0 is the source, actor n the n-th desk."""

    def build(model: Model) -> tuple[dict[int, Actor], First]:
        actors: dict[int, Actor] = {address(0): Source(address(1), model.size)}
        for desk in range(desks):
            line = RwLock() if servers == 1 else Servers(servers)
            then = address(desk + 2) if desk + 1 < desks else 0
            actors[address(desk + 1)] = Desk(desk, f"service{desk}", line, then)
        return actors, [(1, address(0), Due())]

    return build


def follow_line(servers: int = 1, desks: int = 1) -> Callable[[Model, int], Times]:
    """Lindley's recursion at each desk, or Kiefer and Wolfowitz's."""

    def follow(model: Model, seed: int) -> Times:
        came = recursions.arrivals(model.draws(seed, 0, "interarrival"), model.size, LINK_NS)
        found = []
        for desk in range(desks):
            services = model.draws(seed, desk + 1, f"service{desk}")
            if servers > 1:
                found.append(recursions.kiefer_wolfowitz(came, services, servers))
            else:
                found.append(recursions.lindley(came, services))
            came = [
                at + wait + took + LINK_NS for at, (wait, took) in zip(came, found[-1], strict=True)
            ]
        return found

    return follow


# --- closed: machines and their repairman; customers who go round --------------------------------------


MACHINES, UP = 6, 5.0
CUSTOMERS, MEANS = 4, (1.0, 0.8, 0.5)


def build_machines(model: Model) -> tuple[dict[int, Actor], First]:
    """Actor 0 is the repairman."""
    actors: dict[int, Actor] = {address(0): Desk(0, "service0", RwLock())}
    for number in range(MACHINES):
        own = address(number + 1)
        actors[own] = Machine(number, own, address(0), model.size)
    return actors, [(1, address(n + 1), Job(n, 0, 1)) for n in range(MACHINES)]


def follow_machines(model: Model, seed: int) -> Times:
    """By repair."""
    up = [model.draws(seed, number + 1, "up") for number in range(MACHINES)]
    found = recursions.repairs(up, model.draws(seed, 0, "service0"), model.size, LINK_NS)
    return [[(wait, took) for _, wait, took in found]]


def build_round(model: Model) -> tuple[dict[int, Actor], First]:
    """Actor n is the n-th desk; all customers begin at the first one."""
    desks = len(MEANS)
    actors: dict[int, Actor] = {
        address(n): Desk(n, f"service{n}", RwLock(), address((n + 1) % desks), n + 1 == desks)
        for n in range(desks)
    }
    return actors, [(1, address(0), Job(each, 0, model.size)) for each in range(CUSTOMERS)]


def follow_round(model: Model, seed: int) -> Times:
    """By visit."""
    services = [model.draws(seed, n, f"service{n}") for n in range(len(MEANS))]
    return recursions.rounds(services, CUSTOMERS, model.size, LINK_NS)


# --- the table -------------------------------------------------------------------------------------------


def named(*costs: Cost) -> dict[str, Cost]:
    """By name."""
    return {cost.name: cost for cost in costs}


def high(
    kind: str,
    what: str,
    load: float,
    size: int,
    time: Callable[[float], float],
    service: Cost,
    servers: int = 1,
) -> Model:
    """An open queue at a high load, with the mean time at this mean service.

    It takes some (1 - load)^-2 times as many customers to know its figure as well as that of a low load; but the figure
    changes the more with the service. So a row has to tell a service that is 3% too short, by what that makes of it.
    """
    name = f"{kind}-{load:.0%}".rstrip("%")
    return Model(
        name, f"{what}, load {load}", size,
        named(exponential("interarrival", 1 / (load * servers)), service), 1,
        open_line(servers), follow_line(servers),
        (Figure(f"{name}.time", f"{what}, load {load}: mean time in the system", time(1.0), spent(0),
                1 - time(1 - ERROR) / time(1.0)),),
    )  # fmt: skip


LOAD, LOAD_2 = 0.4, 1.2
MODELS = (
    Model(
        "mm1", "M/M/1", 500_000,
        named(exponential("interarrival", 1 / LOAD), exponential("service0", 1)), 1,
        open_line(), follow_line(),
        (Figure("mm1.time", "M/M/1, load 0.4: mean time in the system", f.mm1_time(LOAD, 1), spent(0)),
         Figure("mm1.waits", "M/M/1, load 0.4: share that waits", LOAD, waited)),
    ),
    Model(
        "md1", "M/D/1", 100_000,
        named(exponential("interarrival", 1 / LOAD), constant("service0", 1)), 1,
        open_line(), follow_line(),
        (Figure("md1.time", "M/D/1, load 0.4: mean time in the system", f.mg1_time(LOAD, 1, 1), spent(0)),),
    ),
    Model(
        "mmc", "M/M/2", 800_000,
        named(exponential("interarrival", 1 / LOAD_2), exponential("service0", 1)), 1,
        open_line(servers=2), follow_line(servers=2),
        (Figure("mmc.time", "M/M/2, load 0.6: mean time in the system", f.mmc_time(LOAD_2, 1, 2), spent(0)),
         Figure("mmc.waits", "M/M/2, load 0.6: share that waits (Erlang C)", f.erlang_c(2, LOAD_2), waited)),
    ),
    high("mm1", "M/M/1", 0.8, 300_000, lambda mean: f.mm1_time(0.8, 1 / mean), exponential("service0", 1)),
    high("mm1", "M/M/1", 0.9, 500_000, lambda mean: f.mm1_time(0.9, 1 / mean), exponential("service0", 1)),
    high("md1", "M/D/1", 0.8, 150_000, lambda mean: f.mg1_time(0.8, mean, mean**2), constant("service0", 1)),
    high("mmc", "M/M/2", 0.8, 300_000, lambda mean: f.mmc_time(1.6, 1 / mean, 2), exponential("service0", 1), 2),
    Model(
        "jackson", "two M/M/1 in a row", 350_000,
        named(exponential("interarrival", 1 / LOAD), exponential("service0", 1), exponential("service1", 0.8)), 2,
        open_line(desks=2), follow_line(desks=2),
        (Figure("jackson.time", "two in a row (Jackson), loads 0.4 and 0.32: mean time in the system",
                f.mm1_time(LOAD, 1) + f.mm1_time(LOAD, 1.25), in_all),
         Figure("jackson.second", "two in a row (Jackson): mean time at the second",
                f.mm1_time(LOAD, 1.25), spent(1))),
    ),
    Model(
        "repair", "machine repairman", 50_000,
        named(exponential("up", UP), exponential("service0", 1)), 1,
        build_machines, follow_machines,
        (Figure("repair.time", f"repairman, {MACHINES} machines: mean time from failure to repair",
                f.repair_time(MACHINES, UP, 1), while_all_go_round(0)),),
    ),
    Model(
        "closed", "closed network", 62_000,
        named(*(exponential(f"service{n}", mean) for n, mean in enumerate(MEANS))), len(MEANS),
        build_round, follow_round,
        tuple(Figure(f"closed.desk{n}", f"closed (Gordon, Newell), {CUSTOMERS} customers: mean time at desk {n}",
                     exact, while_all_go_round(n)) for n, exact in enumerate(f.closed_times(CUSTOMERS, MEANS))),
    ),
)  # fmt: skip
