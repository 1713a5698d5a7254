"""Timelines of real Ray workers are those of one process, byte by byte."""

import pytest

from tests.runs import FAULTS, ON_RAY, SMALL, simulated
from tests.timelines import TIMELINES, files_of

pytestmark = [pytest.mark.ray, pytest.mark.timeout(180)]


@pytest.mark.parametrize("how", [("engine.partitions=2",), ("engine.placement=kind",)])
def test_a_timeline_is_the_same_bytes_on_ray(how):
    fleet = (*SMALL, *FAULTS, *TIMELINES)
    local, ray = files_of(simulated(*fleet)), files_of(simulated(*fleet, *ON_RAY, *how))
    assert ray == local
    assert len(local) == 3 and all(len(text) > 1000 for text in local.values())
