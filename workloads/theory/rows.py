"""Rows of `gmemsim theory`: a model's identities, its recursion, its stationary figures. Pure, but for SciPy's t."""

import math
from collections.abc import Iterator, Sequence

import msgspec

from workloads.analysis import batch_means, warm_up
from workloads.theory.engine import Book
from workloads.theory.models import Figure, Model, Times

CONFIDENCE = 0.999
"""Of each stationary row, two-sided: with some 16 of them one in sixty seeds has a row that misses by chance."""
RESOLUTION = 1 / 2  # half an interval is no wider than this part of the error that a row must tell
POWER = 0.99
BATCHES = 100  # each far longer than a customer has to do with those after him: some hundred, at load 0.9 some 400
GROUPS = 2000  # means of so many groups at most are what the warm-up rule looks at


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """`half_width` is 0 where nothing but equality will do. `power`: the chance that the figure's error is seen.

    A row that is `blind` is not ok, but not missed either: its interval cannot tell.
    """

    id: str
    level: int  # 1 identity, 2 recursion, 3 stationary
    what: str
    unit: str  # ns, customers, or "" for units of service time and shares
    exact: float
    measured: float
    half_width: float
    ok: bool
    blind: bool = False
    power: float | None = None
    error: float | None = None  # the part of it that is to be told
    left_out: int = 0  # customers at the beginning, while the queue was still filling


def judged(model: Model, seed: int) -> Iterator[Row]:
    """All of a model, in order of trust."""
    books = model.run(seed)
    told = model.follow(model, seed)
    yield from identities(model, books, told)
    yield same(model, books, told)
    for figure in model.figures:
        yield stationary(figure, figure.of(books))


# --- what must hold exactly ------------------------------------------------------------------------------


def identities(model: Model, books: Sequence[Book], told: Times) -> Iterator[Row]:
    """Little's law twice, flow balance, and that servers were busy as long as what was drawn for them."""
    stations = [book.station for book in books]
    rows = (
        ("little", "integral of the number in the system = sum of times in it", "ns",
         sum(sum(book.spent) for book in books), sum(each.area for each in stations)),
        ("queue", "integral of the number waiting = sum of waits", "ns",
         sum(sum(book.waits) for book in books), sum(each.area_waiting for each in stations)),
        ("flow", "customers who came = customers who left", "customers",
         sum(each.arrivals for each in stations),
         sum(len(book.left) for book in books) + sum(each.inside for each in stations)),
        ("busy", "busy time of the servers = services drawn", "ns",
         sum(took for desk in told for _, took in desk),
         sum(each.area - each.area_waiting for each in stations)),
    )  # fmt: skip
    for name, what, unit, exact, measured in rows:
        yield Row(
            id=f"{model.id}.{name}", level=1, what=f"{model.what}: {what}", unit=unit,
            exact=exact, measured=measured, half_width=0, ok=exact == measured > 0,
        )  # fmt: skip


def same(model: Model, books: Sequence[Book], told: Times) -> Row:
    """How many customers waited and were served as long as the recursion says, to the nanosecond."""
    total = sum(map(len, told))
    equal = 0
    for book, desk in zip(books, told, strict=True):
        # Who left is put into the order in which they came.
        came = [
            at - wait - took
            for at, wait, took in zip(book.left, book.waits, book.services, strict=True)
        ]
        order = sorted(range(len(came)), key=came.__getitem__)
        if came != list(book.came) and sorted(came) != list(book.came):
            continue  # what they say of their coming is not when they came
        pairs = [(book.waits[at], book.services[at]) for at in order]
        equal += (
            sum(a == b for a, b in zip(pairs, desk, strict=False)) if len(pairs) == len(desk) else 0
        )
    return Row(
        id=f"{model.id}.recursion", level=2, unit="customers",
        what=f"{model.what}: wait and service of each as the recursion has them",
        exact=total, measured=equal, half_width=0, ok=equal == total > 0,
    )  # fmt: skip


# --- what holds in the long run ----------------------------------------------------------------------------


def stationary(figure: Figure, values: Sequence[float]) -> Row:
    """The mean of all but the warm-up against theory; a row that could not tell its error is blind."""
    size = max(len(values) // GROUPS, 1)
    groups = [sum(values[at : at + size]) / size for at in range(0, len(values) - size + 1, size)]
    cut = warm_up.mser5(groups)
    found = batch_means.mean(values[(cut or 0) * size :], CONFIDENCE, BATCHES)
    error = figure.error * figure.exact
    power = chance_to_see(error, found)
    sharp = cut is not None and found.half <= RESOLUTION * error and power >= POWER
    return Row(
        id=figure.id, level=3, what=figure.what, unit="", exact=figure.exact, measured=found.value,
        half_width=found.half, ok=sharp and found.covers(figure.exact), blind=not sharp, power=power,
        error=figure.error, left_out=(cut or 0) * size,
    )  # fmt: skip


def chance_to_see(error: float, found: batch_means.Estimate) -> float:
    """The power of the test: how often an interval like this one leaves out what is wrong by so much.

    By the noncentral t of the batches' mean, on the error's side, in its normal approximation (M. Abramowitz, I. A.
    Stegun, Handbook of Mathematical Functions (1964), 26.7.10).
    """
    from scipy.special import ndtr, stdtrit

    freedom = found.batches - 1
    t = float(stdtrit(freedom, (1 + CONFIDENCE) / 2))
    away = error * t / found.half
    return float(ndtr((away - t * (1 - 1 / (4 * freedom))) / math.sqrt(1 + t * t / (2 * freedom))))
