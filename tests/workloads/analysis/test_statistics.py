"""Intervals, warm-up, scalability and knees, against values that are known without them."""

import math
import random

import pytest

from workloads.analysis import batch_means, knee, line, scalability, warm_up


def autoregressive(seed: int, size: int, start: float = 0.0) -> list[float]:
    """Values of mean 0 of which each is 0.8 of the one before and something new."""
    rng, value, found = random.Random(seed), start, []
    for _ in range(size):
        value = 0.8 * value + rng.gauss(0, 1)
        found.append(value)
    return found


def test_the_half_width_is_student_t_over_the_batches():
    # Batch means 1.5, 3.5, 5.5: standard deviation 2, t(2, 97.5%) = 4.3027.
    found = batch_means.mean([9, 1, 2, 3, 4, 5, 6], batches=3)
    assert (found.value, found.batches) == (3.5, 3)
    assert found.half == pytest.approx(4.302653 * 2 / math.sqrt(3))


def test_intervals_of_dependent_values_cover_the_truth_as_often_as_they_say():
    hits = sum(batch_means.mean(autoregressive(seed, 3000)).covers(0.0) for seed in range(200))
    assert 0.90 <= hits / 200 <= 0.99
    # Taken for independent they would be a third as wide, and miss every second time.
    naive = sum(
        batch_means.mean(autoregressive(seed, 3000), batches=1500).covers(0.0) for seed in range(40)
    )
    assert naive / 40 < 0.85


def test_a_percentile_is_the_order_statistic_of_the_run_and_its_interval_covers_the_truth():
    assert batch_means.percentile(list(range(100)), 0.9, batches=2).value == 89
    truth = -math.log(0.1)  # the 90th percentile of a unit exponential
    hits = 0
    for seed in range(100):
        rng = random.Random(seed)
        values = [rng.expovariate(1) for _ in range(3000)]
        hits += batch_means.percentile(values, 0.9).covers(truth)
    assert hits >= 88


@pytest.mark.parametrize(
    "call",
    [
        lambda: batch_means.mean([1.0] * 59),
        lambda: batch_means.percentile([1.0] * 2000, 0.99),
        lambda: scalability.fit([1, 2, 3], [1, 2, 3]),
        lambda: scalability.fit([1, 2, 3, 0], [1, 2, 3, 4]),
        lambda: knee.knee([1], [1]),
        lambda: knee.knee([1, 2], [1, 2], factor=1),
    ],
)
def test_too_little_to_say_anything_is_refused(call):
    with pytest.raises(ValueError, match=r"."):
        call()


def test_what_is_not_yet_as_it_goes_on_is_left_out():
    begins = [100 * 0.9**step for step in range(100)]  # falls to what is noise after 50
    noise = autoregressive(3, 1000)
    cut = warm_up.mser5([value + (begins[at] if at < 100 else 0) for at, value in enumerate(noise)])
    assert cut is not None
    assert 25 <= cut <= 80
    settled = warm_up.mser5(noise)
    assert settled is not None
    assert settled < 300


def test_a_run_that_only_grows_or_is_too_short_is_no_run_to_judge_by():
    assert warm_up.mser5([float(step) for step in range(200)]) is None
    assert warm_up.mser5([1.0] * 9) is None


def test_mser5_is_the_least_squared_standard_error():
    values = autoregressive(5, 200, start=30.0)
    means = [sum(values[at : at + 5]) / 5 for at in range(0, 200, 5)]

    def error(left: int) -> float:
        rest = means[left:]
        middle = sum(rest) / len(rest)
        return sum((x - middle) ** 2 for x in rest) / len(rest) ** 2

    best = min(range(len(means) // 2), key=error)
    assert best > 1
    assert warm_up.mser5(values) == 5 * best


def test_the_law_is_found_again_and_its_peak():
    users = [1, 2, 4, 8, 16, 32, 64]
    found = scalability.fit(users, [scalability.law(n, 1500.0, 0.03, 0.0004) for n in users])
    assert (found.rate, found.contention, found.coherency) == pytest.approx((1500, 0.03, 0.0004))
    assert found.peak == pytest.approx(math.sqrt(0.97 / 0.0004))
    assert found.r_squared == pytest.approx(1)
    assert max(map(abs, found.residuals)) < 1e-3


def test_residuals_are_measured_less_fitted():
    users = [1, 2, 4, 8, 16]
    measured = [scalability.law(n, 100.0, 0.05, 0.001) for n in users]
    measured[2] *= 1.1
    found = scalability.fit(users, measured)
    fitted = [found.throughput(n) for n in users]
    assert found.residuals == pytest.approx([x - y for x, y in zip(measured, fitted, strict=True)])
    assert max(found.residuals) == found.residuals[2] > 5
    assert found.r_squared < 1


def test_a_straight_line_has_no_peak():
    found = scalability.fit([1, 2, 4, 8], [10.0, 20.0, 40.0, 80.0])
    assert (found.contention, found.coherency) == pytest.approx((0, 0), abs=1e-6)
    assert found.peak > 1000


def test_the_knee_of_a_single_server_is_half_its_capacity():
    loads = [at / 100 for at in range(1, 96)]
    assert knee.knee(loads, [1 / (1 - load) for load in loads]) == pytest.approx(0.505, abs=0.001)


def test_a_knee_is_where_latency_stays_above():
    assert knee.knee([1, 2, 3, 4], [1, 3, 1, 3]) == 3.5
    assert knee.knee([4, 2, 3, 1], [3, 3, 1, 1]) == 3.5
    assert knee.knee([1, 2, 3], [1, 1.5, 1.9]) is None


def test_a_straight_line_is_found():
    found = line.fit((0, 1, 2, 5), (3.0, 5.0, 7.0, 13.0))
    assert (found.base, found.slope, found.r_squared) == pytest.approx((3.0, 2.0, 1.0))
    assert found.half == pytest.approx(0, abs=1e-9)


def test_points_off_the_line_show():
    # Slope 1; residuals -1, 2, -1 leave one degree of freedom: sqrt(6 / 2) t(1, 97.5%).
    found = line.fit((0, 1, 2), (0.0, 4.0, 2.0))
    assert found.r_squared == pytest.approx(0.25)
    assert found.half == pytest.approx(math.sqrt(3) * 12.7062, rel=1e-4)


@pytest.mark.parametrize(("xs", "ys"), [((0, 1), (0, 1)), ((1, 1, 1), (1, 2, 3))])
def test_a_line_wants_three_points_at_two_places(xs, ys):
    with pytest.raises(ValueError, match="three points at least, and two places"):
        line.fit(xs, ys)
