"""Durations and sizes: what is read, what is printed, what is refused."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workloads.units import format_duration, format_size, parse_duration, parse_size

EXACT = settings(derandomize=True, max_examples=300)
WHOLE = st.integers(0, 2**70) | st.integers(0, 10**6) | st.integers(0, 10**6).map(lambda n: n << 20)


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("0ns", 0),
        ("100ns", 100),
        ("250us", 250_000),
        ("1.5ms", 1_500_000),
        ("10s", 10_000_000_000),
        ("2min", 120_000_000_000),
        ("1h", 3_600_000_000_000),
        ("3d", 259_200_000_000_000),
        ("0.000000001s", 1),
        ("007us", 7_000),
    ],
)
def test_a_duration_is_read_as_nanoseconds(text, ns):
    assert parse_duration(text) == ns


@pytest.mark.parametrize(
    ("text", "size"),
    [("0B", 0), ("4096B", 4096), ("4KiB", 4096), ("1.5MiB", 3 << 19), ("1TiB", 1 << 40)],
)
def test_a_size_is_read_as_bytes(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (0, "0ns"),
        (250_000, "250us"),
        (1_500_000, "1.5ms"),
        (100_000_000, "100ms"),
        (60_000_000_000, "60s"),
        (120_000_000_000, "2min"),
        (86_400_000_000_000, "1d"),
        (1_000_000_001, "1.000000001s"),
    ],
)
def test_a_duration_is_printed_as_short_as_is_exact(ns, text):
    assert format_duration(ns) == text


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0B"), (1000, "1000B"), (1024, "1KiB"), (3 << 29, "1.5GiB"), (2_101_248, "2052KiB")],
)
def test_a_size_is_printed_as_short_as_is_exact(size, text):
    assert format_size(size) == text


@EXACT
@given(WHOLE)
def test_what_is_printed_reads_back_as_the_same(value):
    assert (parse_duration(format_duration(value)), parse_size(format_size(value))) == (
        value,
        value,
    )


@pytest.mark.parametrize(
    "text",
    ["", "5", "ms", "-5ms", "+5ms", "5 ms", "5ms ", "5ms\n", "1e3ms", ".5s", "5.s", "٣ms", "1_0s"],
)
def test_anything_else_is_no_duration(text):
    with pytest.raises(ValueError, match=r"^found .*, expected a duration such as \"100ns\""):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("-2MiB", 'found "-2MiB", expected SIZE, not a negative one'),
        ("8GB", 'found "8GB", expected SIZE; units: B, KiB, MiB, GiB, TiB'),
        ("0.3B", 'found "0.3B", expected a whole number of B'),
        ("8 gigs\n", 'found "8 gigs\\n", expected SIZE'),
        ("9" * 99, f'found "{"9" * 57}...", expected SIZE'),
    ],
)
def test_the_error_says_what_was_found_and_what_is_allowed(text, error):
    with pytest.raises(ValueError) as raised:
        parse_size(text)
    allowed = 'a size such as "4KiB", "2MiB", "8GiB"'
    assert str(raised.value) == error.replace("SIZE", allowed)


@EXACT
@given(st.text())
def test_no_text_makes_reading_fail_in_another_way(text):
    for parse in (parse_duration, parse_size):
        try:
            assert parse(text) >= 0
        except ValueError as error:
            assert str(error).isprintable()
