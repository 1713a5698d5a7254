"""Rows without the engine: tolerances, the line, the pattern, costs from the command line, and the page."""

import pytest

from actors.contract import Share
from tests.workloads.small_rows import figure, rows
from workloads.errors import UsageError
from workloads.loads.programs import HOT_RANGES, hot_jobs
from workloads.validation import boot, command, costs, exact, show
from workloads.validation.rows import ABOVE, BELOW, EXACT, inside, times, within

# --- near enough ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tolerance", "near", "far"),
    [
        (within(0.1), (90, 100, 110), (89, 111)),
        (times(2), (50, 200), (49, 201)),
        (inside(80, 120, 0.1), (72, 132), (71, 133)),
        (EXACT, (100,), (99, 101)),
        (BELOW, (99,), (100, 101)),
        (ABOVE, (101,), (100, 99)),
    ],
    ids=lambda value: getattr(value, "text", None),
)
def test_a_tolerance_holds_up_to_its_edge_and_no_further(tolerance, near, far):
    assert all(tolerance.holds(100, value) for value in near)
    assert not any(tolerance.holds(100, value) for value in far)


def test_a_row_has_the_ratio_and_says_whether_it_is_near_enough():
    row = figure(published=50.0, tolerance=within(0.1)).row(60.0)
    assert (row.ratio, row.ok, row.tolerance) == (1.2, False, "+-10%")


def test_nothing_published_as_zero_has_a_ratio():
    row = figure(published=0, tolerance=EXACT).row(0)
    assert (row.ratio, row.ok) == (None, True)


def test_nobody_is_held_to_a_report():
    assert figure(kind="report", published=50.0).row(500.0).ok is None


def test_what_the_model_has_not_got_is_not_judged_and_says_why():
    row = figure().missing("no such thing yet")
    assert (row.simulated, row.ratio, row.ok, row.reason) == (None, None, None, "no such thing yet")


def test_a_miss_that_is_explained_is_a_miss():
    missed = figure(published=1.0, reason="known, and why").row(2.0)
    assert (missed.ok, show.verdict_of([missed])) == (False, "violated")


def test_what_is_not_judged_does_not_spoil_a_verdict():
    assert show.verdict_of([figure().missing("why"), figure(published=1.0).row(1.0)]) == "valid"


# --- what the rows are held against --------------------------------------------------------------


def naive(jobs):
    """The share of every page after these jobs, page by page."""
    sides = [Share.PRIVATE] * exact.REGION
    for start, end, to in jobs:
        for page in range(start, end):
            sides[page] = to
    return sides


@pytest.mark.parametrize("number", range(len(HOT_RANGES)))
def test_the_pattern_is_what_the_selftests_jobs_leave(number):
    left, jobs = exact.requests_until(number), []
    for start, end, to in hot_jobs(exact.REGION):
        left -= -(-(end - start) // 512)
        if left < 0:
            break
        jobs.append((start, end, to))
    assert naive(jobs) == exact.parity(*HOT_RANGES[number])


def test_firmwares_buffers_are_as_many_and_as_large_as_published():
    sizes = boot.churn_sizes()
    assert len(sizes) == 5000
    assert max(sizes) == 8
    assert 1.5 < sum(sizes) / len(sizes) < 2.5


# --- costs ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("kick_slope=1051ns", "1051ns"),
        ("kick_slope=+10%", "1.05us"),
        ("kick_slope=-10%", "860ns"),
        ("boot_fixed=+0.5%", "45.225s"),
    ],
)
def test_a_cost_is_given_outright_or_as_a_change(text, value):
    (found,) = costs.changed([text])
    assert found.key == f"costs.override.{text.partition('=')[0]}={value}"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("kick_slope", "expected NAME=VALUE"),
        ("=3us", "expected NAME=VALUE"),
        ("kick_slop=3us", "nearest: kick_slope"),
        ("kick_slope=fast", "a change such as +10%"),
        ("kick_slope=10%", "a change such as +10%"),
        ("kick_slope=-200%", "-100% at least"),
        ("kick_slope=300d", "at most"),
    ],
)
def test_a_mistake_in_a_cost_says_what_would_be_right(text, words):
    with pytest.raises(UsageError) as error:
        costs.changed([text])
    assert words in str(error.value)
    assert "\n" not in str(error.value)


# --- which rows ----------------------------------------------------------------------------------


def test_every_target_of_the_domains_list_has_a_row():
    assert command.ids() == [f"VT{number}" for number in range(1, 17)]


def test_a_row_s_name_may_be_small():
    assert [wanted for _, wanted in command.chosen(["vt1"])] == [{"VT1"}]


def test_rows_come_in_order_and_a_target_of_two_ids_gives_what_is_wanted():
    found = command.chosen(["VT8", "VT1"])
    assert [wanted for _, wanted in found] == [{"VT1"}, {"VT8"}, {"VT8"}]


def test_an_unknown_row_is_a_mistake():
    with pytest.raises(UsageError, match="VT17"):
        command.chosen(["VT17"])


# --- the page ------------------------------------------------------------------------------------


def test_the_page_has_the_verdict_first_and_reasons_last():
    text = show.page(rows(), "violated", costs.changed(["kick_slope=+10%"]))
    assert text == PAGE


PAGE = """\
VIOLATED  2 of 3 figures within their tolerance, 2 not judged
  with kick_slope = 1.05us instead of 955ns

     kind     what   published  simulated  ratio  tolerance
VT1  fit      one       68.0 s     67.9 s  0.999  +-10%         ok
VT2  predict  two       1.00 s     2.00 s      2  +-10%         MISSED [1]
VT6  predict  six     10..20 s     15.0 s      1  inside +-10%  ok
VT7  report   seven     50.0 s     60.0 s    1.2  -             not judged [2]
VT9  predict  nine     28.0 us          -      -  +-10%         not judged [1]

[1] told why
[2] told too
A `fit` gave the cost table its figure: that it agrees shows that the engine adds up, and no more.\
"""


def test_what_was_not_run_is_named_under_the_verdict():
    near = [row for row in rows() if row.ok]
    left = show.Left("the time limit was reached", ("VT6", "VT7"))
    assert show.verdict_of(near, left.stopped) == "unknown"
    assert show.verdict_of(rows(), left.stopped) == "violated"
    head = show.page(near, "unknown", (), left).splitlines()[1]
    assert head == "  ended early: the time limit was reached; not run: VT6, VT7"
    assert show.page([], "unknown", (), left).count("\n") == 1


def test_points_of_the_line_and_sums_of_a_page_say_what_they_are():
    figures = [f for target in command.TARGETS for f in target.figures if f.id in ("VT4", "VT9")]
    assert all(figure.reason for figure in figures)


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (None, "s", "-"),
        (0.0, "s", "0 s"),
        (0.2810, "s", "281 ms"),
        (31.0, "us", "31.0 us"),
        (19_169_856, "bytes", "18.3 MiB"),
        (2565, "", "2,565"),
        (0.8157, "", "0.816"),
    ],
)
def test_figures_have_three_digits_and_a_unit(value, unit, text):
    assert show.shown(value, unit) == text
