"""Analyses on rows that are made up."""

import msgspec
import pytest

from workloads.errors import UsageError
from workloads.experiment import decode
from workloads.experiment.analyses import ANALYSES
from workloads.experiment.analyses.contract import Evidence
from workloads.experiment.analyses.optimum import optimum
from workloads.experiment.analyses.pairs import paired
from workloads.experiment.analyses.probe import probe
from workloads.experiment.analyses.recovery import recovery
from workloads.experiment.rows import Row
from workloads.outcome.interval import Interval

TEXT = """
[experiment]
question = "How long?"
prediction = "So long."

[[axis]]
name = "policy"
key = "vmm.retry"
values = ["spin", "backoff"]

[[axis]]
name = "after"
key = "scenario.seed"
values = [0, 10, 50, 100]

[[measure]]
name = "backlog"
path = "drain.answered"
unit = "count"

[[measure]]
name = "wait"
path = "conversion.latency.p99"
unit = "duration"
"""


def row(policy, after, backlog, wait=0.0, relieved=""):
    values = {
        name: None if value is None else Interval(value, None, 1)
        for name, value in (("backlog", backlog), ("wait", wait))
    }
    place = {"policy": policy, "after": after}
    return Row(f"{policy} {after}", place, relieved, None, 1, "valid", [], values, {})


def evidence(rows, **options):
    experiment = msgspec.structs.replace(decode(TEXT, "small.toml"), options=options)
    return Evidence(experiment, rows, [], options)


def asked_for(analysis, figures, **options):
    """All of them have names that are known before a run."""
    made_up = probe(evidence([], **options).experiment)
    return set(figures) <= set(ANALYSES[analysis].function(made_up))


def curves(**found):
    """Rows in an order that says nothing."""
    return [
        row(policy, after, value)
        for policy, values in found.items()
        for after, value in reversed(list(zip((0, 10, 50, 100), values, strict=True)))
    ]


def recovered(**found):
    options = {"axis": "after", "of": "backlog", "normal": 5}
    figures = recovery(evidence(curves(**found), **options))
    assert asked_for("recovery", figures, **options)
    return {name: figure.value for name, figure in figures.items()}


def test_recovered_is_from_where_on_it_stays_normal():
    found = recovered(spin=(90, 4, 30, 2), backoff=(90, 5, 1, 2))
    assert (found["recovered spin"], found["recovered backoff"]) == (100, 10)
    assert (found["metastable"], found["slow"]) == ("none", "none")


def test_what_was_never_disturbed_is_back_at_once():
    assert recovered(spin=(0, 0, 0, 0))["recovered spin"] == 0


def test_a_backlog_that_does_not_drain_is_metastable_and_one_that_does_is_slow():
    found = recovered(spin=(90, 95, 99, 120), backoff=(90, 80, 40, 20))
    assert (found["recovered spin"], found["recovered backoff"]) == ("never", "never")
    assert (found["metastable"], found["slow"]) == ("spin", "backoff")


def test_a_curve_with_a_gap_says_nothing():
    assert "recovered spin" not in recovered(spin=(90, None, 0, 0))


def test_rows_of_a_relieved_resource_are_left_out():
    rows = [*curves(spin=(9, 9, 0, 0)), row("spin", 100, 99, relieved="vmm")]
    found = recovery(evidence(rows, axis="after", of="backlog", normal=5))
    assert found["recovered spin"].value == 50


def best(rows, **options):
    found = optimum(evidence(rows, **options))
    assert asked_for("optimum", found, **options)
    return [found[f"{what} spin"].value for what in ("optimum", "best", "worst")]


ROWS = [row("spin", after, n, w) for after, n, w in ((0, 9, 5.0), (10, 2, 2.0), (50, 2, 1.99))]


def test_the_optimum_is_the_first_of_those_that_are_as_good():
    assert best(ROWS, axis="after", of=["wait"]) == ["10", 1.99, 5.0]
    assert best(ROWS, axis="after", of="backlog", wants="most") == ["0", 9, 2]


def test_measures_are_added_up_where_a_row_has_them_all():
    rows = [*ROWS, row("spin", 100, None, 0.1)]
    assert best(rows, axis="after", of=["backlog", "wait"]) == ["10", 3.99, 14.0]


@pytest.mark.parametrize(
    ("options", "where"),
    [
        ({"axis": "afer", "of": "wait"}, 'axis: found "afer"; nearest: after'),
        ({"axis": "after", "of": ["wait", "p9"]}, 'of: found "p9"'),
        ({"axis": "after", "of": "wait", "wants": "more"}, 'wants: found "more"'),
        ({"of": "wait"}, 'axis: found ""'),
    ],
)
def test_a_mistake_in_the_options_is_one_line(options, where):
    with pytest.raises(UsageError, match=r"small\.toml: conclusion\.options\.") as error:
        optimum(evidence(ROWS, **options))
    assert where in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("normal", ["5", True])
def test_what_is_normal_is_a_number(normal):
    with pytest.raises(UsageError, match="expected a number"):
        recovery(evidence(ROWS, axis="after", of="wait", normal=normal))


# --- seed by seed ---------------------------------------------------------------------------------------


def test_what_seeds_have_in_common_cancels_out_of_a_pair():
    rows = [row("spin", 10, None), row("backoff", 10, None), row("spin", 50, None)]
    waits: list[list[float | None]] = [[11.0, 110.0, None], [10.0, 100.0, 1000.0], [1.0]]
    for one, seeds in zip(rows, waits, strict=True):
        one.samples = {"wait": seeds, "backlog": [None] * len(seeds)}
    found = evidence(rows)
    conclusion = msgspec.structs.replace(found.experiment.conclusion, paired="policy")
    experiment = msgspec.structs.replace(found.experiment, conclusion=conclusion)
    figures = paired(found._replace(experiment=experiment))
    assert set(figures) == {f"{name} spin over backoff 10" for name in ("wait", "backlog")}
    assert figures["backlog spin over backoff 10"].value is None
    wait = figures["wait spin over backoff 10"]
    assert wait.value == pytest.approx(1.1)
    assert wait.interval is not None and wait.interval.half == pytest.approx(0, abs=1e-12)
    assert set(figures) < set(paired(probe(experiment)))
    assert paired(found) == {}  # nobody asks
