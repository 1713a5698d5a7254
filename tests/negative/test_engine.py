"""Every slip of the engine is found by the checks that say so, and every check passes without one."""

from operator import attrgetter

import pytest

from tests.negative.engine_cases import SLIPS
from tests.negative.engine_checks import CHECKS

TITLE = attrgetter("what")


@pytest.mark.parametrize("name", CHECKS)
def test_without_a_slip_it_holds(name):
    CHECKS[name]()


@pytest.mark.parametrize("slip", SLIPS, ids=TITLE)
def test_a_slip_is_found(slip, monkeypatch):
    found_by(slip, slip.ids.split()[0], monkeypatch)


@pytest.mark.nightly
@pytest.mark.parametrize("slip", SLIPS, ids=TITLE)
def test_a_slip_is_found_by_all_that_say_so(slip, monkeypatch):
    for name in slip.ids.split():
        found_by(slip, name, monkeypatch)


def found_by(slip, name, patch):
    """The check fails; what it runs may crash before it comes to that."""
    with patch.context() as planted, pytest.raises(Exception):  # noqa: B017
        slip.plant(planted)
        CHECKS[name]()


def test_every_check_finds_a_slip():
    assert {name for slip in SLIPS for name in slip.ids.split()} == set(CHECKS)
