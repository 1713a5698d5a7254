"""`gmemsim list`: all of every list, in lines that a terminal of the usual width has room for."""

import pytest

from workloads.catalogue import LISTS, show_kind


@pytest.mark.parametrize("kind", LISTS)
def test_a_list_fits_and_leaves_nothing_out(kind):
    shown = show_kind(kind, as_json=False)
    assert max(map(len, shown.splitlines())) <= 80
    words = " ".join(shown.split())
    for row in LISTS[kind]():
        assert all(" ".join(str(text).split()) in words for text in row.values()), row
