"""Lines, knees and queues, from rows that are made up."""

import msgspec
import pytest

from tests.workloads.experiment.small import HEAD
from workloads.analysis import scalability
from workloads.experiment import decode
from workloads.experiment.analyses import ANALYSES
from workloads.experiment.analyses.contract import Evidence
from workloads.experiment.analyses.probe import probe
from workloads.experiment.points import combinations
from workloads.experiment.rows import Row
from workloads.outcome.interval import Interval
from workloads.theory.formulas import mg1_time, repair_time

TWO = f"""{HEAD}
[[axis]]
name = "TRACK"
key = "vm.track"
values = ["page", "step"]

[[axis]]
name = "n"
key = "vm.vcpus"
values = [1, 2, 4, 8]
"""


def found(analysis, measures, options):
    """What an analysis makes of `measures`: name -> function of the place."""
    text = TWO + "".join(
        f"\n[[measure]]\nname = '{name}'\npath = 'latency_seconds.p50'\nunit = '{unit}'\n"
        for name, (unit, _) in measures.items()
    )
    experiment = msgspec.structs.replace(decode(text, "small.toml"), options=options)
    rows = [
        Row(
            name=point.name,
            place=dict(point.place),
            relieved="",
            held=None,
            seeds=1,
            verdict="valid",
            reasons=[],
            values={
                name: None if (mean := of(**dict(point.place))) is None else Interval(mean, None)
                for name, (_, of) in measures.items()
            },
            sets={},
        )
        for point in combinations(experiment.axes)
    ]
    made = ANALYSES[analysis]
    figures = made.function(Evidence(experiment, rows, [], options))
    assert set(figures) <= set(made.function(probe(experiment))), (
        "figures that nobody could ask for"
    )
    return figures


def time(TRACK, n):
    return 10.0 + (6.0 if TRACK == "page" else 2.0) * n


def test_a_line_for_each_place_and_the_ratio_of_slopes():
    options = {"x": "n", "y": "time", "per": 2, "against": "TRACK"}
    figures = found("line", {"time": ("duration", time)}, options)
    assert [figures[f"{what} page"].value for what in ("slope", "base", "r2")] == pytest.approx(
        [3.0, 5.0, 1.0]
    )
    assert figures["slope step"].value == pytest.approx(1.0)
    assert figures["slopes page over step"].value == pytest.approx(3.0)
    assert figures["slope page"].unit == "duration"


def test_points_without_a_value_are_left_out_and_two_make_no_line():
    def few(TRACK, n):
        return None if TRACK == "page" and n > 2 else float(n)

    figures = found("line", {"time": ("number", few)}, {"x": "n", "y": "time"})
    assert "slope page" not in figures
    assert figures["slope step"].value == pytest.approx(1.0)


def test_where_a_measure_doubles_is_its_knee():
    def bent(TRACK, n):
        return 1.0 if TRACK == "page" else max(1.0, n / 2)

    figures = found("knee", {"time": ("duration", bent)}, {"x": "n", "y": "time"})
    assert (figures["knee page"].value, figures["rise page"].value) == ("none", 1.0)
    assert (figures["knee step"].value, figures["rise step"].value) == (4.0, 4.0)
    assert figures["most time at"].value == "TRACK step, n 8"


SERVICE, SCV = 2.0, 0.25


def queue(wait, load=0.5):
    """Measures of a queue whose wait is this, as a share of M/G/1's where the place is `page`."""
    return {
        "latency": ("duration", lambda TRACK, n: 1.0 * n),
        "q load": ("ratio", lambda TRACK, n: load),
        "q wait": ("duration", lambda TRACK, n: wait),
        "q service": ("duration", lambda TRACK, n: SERVICE),
        "q scv": ("number", lambda TRACK, n: SCV),
    }


OPTIONS = {"x": "n", "y": "latency", "station": "q"}


def test_a_queue_as_in_theory_is_said_to_be_so():
    wait = mg1_time(0.25, SERVICE, (1 + SCV) * SERVICE**2) - SERVICE
    figures = found("queueing", queue(wait), OPTIONS)
    assert figures["M/G/1 page 4"].value == pytest.approx(wait) == pytest.approx(1.25)
    assert figures["worst M/G/1"].value == pytest.approx(1.0)
    figures = found("queueing", queue(wait * 1.03), OPTIONS)
    assert figures["worst M/G/1"].value == pytest.approx(1.03)


def test_the_closed_queue_has_customers_as_far_away_as_with_the_fewest():
    figures = found("queueing", queue(0.3), OPTIONS)
    away = SERVICE / 0.5 - SERVICE - 0.3  # of the one at n = 1
    for n in (1, 4, 8):
        expected = repair_time(n, away, SERVICE) - SERVICE
        assert figures[f"closed page {n}"].value == pytest.approx(expected)
    assert figures["closed page 1"].value == pytest.approx(0.0, abs=1e-9)


def test_a_full_queue_has_no_mean_wait_in_theory():
    figures = found("queueing", queue(5.0, load=1.0), OPTIONS)
    assert "M/G/1 page 4" not in figures
    assert figures["knee page"].value == 2.0


# --- the Universal Scalability Law ------------------------------------------------------------------------


def test_a_throughput_by_the_law_has_its_coefficients_and_no_residual():
    def grows(TRACK, n):
        return scalability.law(n, 100.0, 0.05, 0.01 if TRACK == "page" else 0.0)

    figures = found("scalability", {"done": ("rate", grows)}, {"x": "n", "y": "done"})
    assert figures["alone page"].value == pytest.approx(100)
    assert figures["contention page"].value == pytest.approx(0.05)
    assert figures["coherency page"].value == pytest.approx(0.01)
    assert figures["peak page"].value == pytest.approx((0.95 / 0.01) ** 0.5)
    assert figures["most page"].value == pytest.approx(grows("page", 9.7468), rel=1e-3)
    assert figures["most step"].value == pytest.approx(100 / 0.05, rel=0.02)
    assert figures["off page"].value == pytest.approx(0, abs=1e-6)


def test_what_is_off_the_law_is_told_with_where():
    def corner(TRACK, n):
        return min(100.0 * n, 400.0) if TRACK == "page" or n < 8 else None

    figures = found("scalability", {"done": ("rate", corner)}, {"x": "n", "y": "done"})
    assert (figures["off at page"].value, figures["over at page"].value) == (4.0, "more")
    assert 0.05 < figures["off page"].value < 0.25
    assert "alone step" not in figures  # three points
    assert figures["most done"].value == 400
