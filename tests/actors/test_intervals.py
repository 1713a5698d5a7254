"""IntervalMap against the plainest thing that does the same: a list with one number for each page."""

from hypothesis import given, settings
from hypothesis import strategies as st

from actors.intervals import IntervalMap
from tests.helpers import runs

PAGES = 40
RANGES = st.tuples(st.integers(0, PAGES - 1), st.integers(1, PAGES)).map(
    lambda pair: (pair[0], min(PAGES, pair[0] + pair[1]))
)
WRITES = st.lists(st.tuples(RANGES, st.integers(-1, 3)), max_size=25)


def both(writes, value=0):
    """The map and the list after the same writes."""
    found, pages = IntervalMap.filled(value), [value] * PAGES
    for (start, end), new in writes:
        found.set(start, end, new)
        pages[start:end] = [new] * (end - start)
    return found, pages


@settings(derandomize=True, max_examples=300, deadline=None)
@given(WRITES)
def test_every_page_has_the_value_last_written(writes):
    found, pages = both(writes)
    assert [found.get(page) for page in range(PAGES)] == pages


@settings(derandomize=True, max_examples=300, deadline=None)
@given(WRITES)
def test_runs_are_maximal_so_that_equal_maps_have_equal_fields(writes):
    found, pages = both(writes)
    changes = [p for p in range(1, PAGES) if pages[p] != pages[p - 1]]
    tail = [PAGES] if pages[-1] != 0 else []
    assert found.starts == [0, *changes, *tail]


@settings(derandomize=True, max_examples=300, deadline=None)
@given(WRITES, RANGES, st.integers(-1, 3))
def test_questions_about_a_range_agree_with_the_list(writes, asked, value):
    (start, end), (found, pages) = asked, both(writes)
    flat = [number for s, e, number in found.runs(start, end) for _ in range(s, e)]
    assert flat == pages[start:end]
    assert found.pages(start, end, value) == pages[start:end].count(value)
    assert found.only(start, end, value) == (set(pages[start:end]) == {value})


@settings(derandomize=True, max_examples=300, deadline=None)
@given(WRITES, RANGES)
def test_a_map_made_of_runs_has_them_and_the_rest(writes, asked):
    found, pages = both(writes)
    made = IntervalMap.of(found.runs(*asked), -2)
    again = IntervalMap.filled(-2)
    for page in range(*asked):
        again.set(page, page + 1, pages[page])
    assert made == again


@settings(derandomize=True, max_examples=300, deadline=None)
@given(WRITES, RANGES)
def test_the_run_at_a_page_ends_where_the_value_changes_or_at_the_limit(writes, asked):
    (page, limit), (found, pages) = asked, both(writes)
    end = next((p for p in range(page, limit) if pages[p] != pages[page]), limit)
    assert found.run_at(page, limit) == (end, pages[page])


def test_a_range_in_the_middle_splits_a_run_and_its_opposite_joins_it_again():
    found = IntervalMap.filled(7)
    found.set(4, 6, 1)
    assert (runs(found), found.fragments) == ([(0, 7), (4, 1), (6, 7)], 3)
    found.set(4, 6, 7)
    assert (runs(found), found.fragments) == ([(0, 7)], 1)
