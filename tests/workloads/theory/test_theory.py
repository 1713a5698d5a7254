"""`gmemsim theory`: small runs of every model, errors that are planted, and the whole table."""

import json
from dataclasses import replace
from random import Random

import pytest

from actors.locks.lock import RwLock, Waiter
from workloads.analysis import batch_means
from workloads.theory import command, models, rows
from workloads.theory.models import MODELS, UNIT_NS, constant, exponential
from workloads.theory.stations import Desk, Servers

SMALL = {model.id: replace(model, size=300, figures=()) for model in MODELS}
MD1 = replace(next(model for model in MODELS if model.id == "md1"), size=60_000)


def missed(model):
    return {row.id.partition(".")[2] for row in rows.judged(model, 1) if not row.ok}


@pytest.mark.parametrize("model", SMALL.values(), ids=SMALL)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_identities_and_recursion_hold_for_every_customer(model, seed):
    found = list(rows.judged(model, seed))
    assert [row.level for row in found] == [1, 1, 1, 1, 2]
    assert all(row.ok and row.exact == row.measured > 0 for row in found)


def test_other_seeds_are_other_runs_and_the_same_seed_is_the_same():
    model = SMALL["mm1"]
    one, two, again = (list(rows.judged(model, seed)) for seed in (1, 2, 1))
    assert one == again
    assert one[0].exact != two[0].exact


# --- slips of an engine, each with what finds it ------------------------------------------------------


def last_come_first_served(patch):
    """Of those who wait the last comer is served first."""
    drop = Servers.drop

    def turned(line: Servers, ticket: int) -> list[Waiter]:
        line.queue.reverse()
        found = drop(line, ticket)
        line.queue.reverse()
        return found

    patch.setattr(Servers, "drop", turned)


def a_third_server(patch):
    """A desk has a server too many."""
    patch.setattr(models, "Servers", lambda servers: Servers(servers + 1))


def drawn_twice(patch):
    """A desk draws twice for each customer, and takes the second."""
    serve = Desk.serve

    def again(desk: Desk, ticket: int, context) -> None:
        context.cost(desk.cost)
        serve(desk, ticket, context)

    patch.setattr(Desk, "serve", again)


def served_a_nanosecond_longer(patch):
    """A service takes a nanosecond more than was drawn."""
    serve = Desk.serve

    class Late:
        def __init__(self, context):
            self.context = context

        def __getattr__(self, name):
            return getattr(self.context, name)

        def after(self, delay, message):
            return self.context.after(delay + 1, message)

    patch.setattr(Desk, "serve", lambda desk, ticket, context: serve(desk, ticket, Late(context)))


def came_earlier(patch):
    """Who comes is noted a nanosecond too early."""
    take = RwLock.take
    patch.setattr(
        RwLock, "take", lambda lock, ticket, alone, now: take(lock, ticket, alone, now - 1)
    )


def forgotten(patch):
    """Customer 7 leaves unseen."""
    served = Desk.HANDLERS

    def skip(desk: Desk, message, context) -> None:
        if message.ticket != 7:
            Desk.on_served(desk, message, context)

    patch.setattr(
        Desk, "HANDLERS", {**served, **{k: skip for k in served if k.__name__ == "Served"}}
    )


SLIPS = [
    ("mmc", last_come_first_served, {"recursion"}),
    ("mmc", a_third_server, {"recursion"}),
    ("mm1", drawn_twice, {"recursion", "busy"}),
    ("mm1", served_a_nanosecond_longer, {"recursion", "busy"}),
    ("jackson", served_a_nanosecond_longer, {"recursion", "busy"}),
    ("repair", came_earlier, {"recursion", "little", "queue"}),
    ("closed", came_earlier, {"recursion", "little", "queue"}),
    ("mm1", forgotten, {"recursion", "little", "queue", "busy"}),
]


@pytest.mark.parametrize(("model", "slip", "found"), SLIPS)
def test_a_slip_of_the_engine_is_found(model, slip, found, monkeypatch):
    assert missed(SMALL[model]) == set()
    slip(monkeypatch)
    assert missed(SMALL[model]) >= found


# --- errors of three per cent ---------------------------------------------------------------------------


def test_a_service_that_is_three_per_cent_too_long_is_seen():
    right = [row for row in rows.judged(MD1, 1) if row.level == 3]
    assert all(row.ok and (row.power or 0) > rows.POWER for row in right)
    assert all(row.half_width < rows.RESOLUTION * models.ERROR * row.exact for row in right)
    wrong = list(rows.judged(MD1.with_cost(constant("service0", 1.03)), 1))
    assert [row.ok for row in wrong if row.level < 3] == [True] * 5  # the engine does as it is told
    assert [(row.ok, row.blind) for row in wrong if row.level == 3] == [(False, False)]


def test_a_run_that_is_too_short_to_tell_is_blind():
    (figure,), draw = MD1.figures, Random(1)
    row = rows.stationary(figure, [draw.expovariate(1 / figure.exact) for _ in range(1000)])
    assert row.blind and not row.ok
    assert row.power is not None and row.power < rows.POWER


def test_power_is_how_often_an_error_is_seen():
    # An error of twice half the interval: t 3.39 of 99 degrees at 6.78 is above 3.39 nearly always.
    found = batch_means.Estimate(1.0, 0.01, 100)
    assert rows.chance_to_see(0.02, found) == pytest.approx(0.9995, abs=0.0005)
    assert rows.chance_to_see(0.01, found) == pytest.approx(0.5, abs=0.02)


@pytest.mark.nightly
@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.id)
def test_every_figure_rejects_its_error(model):
    books = model.run(1)
    for figure in model.figures:
        values = figure.of(books)
        assert rows.stationary(figure, values).ok
        for factor in (1 - figure.error, 1 + figure.error):
            assert not rows.stationary(replace(figure, exact=figure.exact * factor), values).ok


@pytest.mark.nightly
def test_a_slower_exponential_server_is_seen_too():
    model = next(model for model in MODELS if model.id == "mm1")
    found = rows.judged(model.with_cost(exponential("service0", 1.03)), 1)
    assert [row.ok for row in found if row.level == 3] == [False, False]


@pytest.mark.nightly
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_whole_table_holds(seed, capsys):
    assert command.theory(seed, as_json=True, quiet=True) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["verdict"] == "valid"
    assert {"id", "exact", "measured", "half_width", "ok"} <= set(found["rows"][0])


# --- the command -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("slip", "status", "verdict", "words"),
    [
        (None, 3, "UNKNOWN  5 of 6 rows", "BLIND md1.time"),
        (served_a_nanosecond_longer, 1, "VIOLATED  2 of 6 rows", "MISSED md1."),
    ],
)
def test_a_row_that_cannot_tell_is_unknown_and_one_that_misses_is_violated(
    slip, status, verdict, words, monkeypatch, capsys
):
    monkeypatch.setattr(command, "MODELS", [replace(MD1, size=300)])
    if slip:
        slip(monkeypatch)
    assert command.theory(1, as_json=False, quiet=False) == status
    out, err = capsys.readouterr()
    assert out.startswith(verdict)
    assert err.startswith(f"M/D/1: {words}")


def test_all_rows_ok_is_exit_status_0(monkeypatch, capsys):
    monkeypatch.setattr(command, "MODELS", [SMALL["closed"]])
    assert command.theory(2, as_json=True, quiet=True) == 0
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert (found["verdict"], found["seed"], err) == ("valid", 2, "")
    assert [row["ok"] for row in found["rows"]] == [True] * 5
    assert found["rows"][3]["exact"] > 300 * UNIT_NS
