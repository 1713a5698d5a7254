"""The swarm on real Ray workers: seeds at a time, and their digests again in two partitions."""

import pytest

from workloads.pool import pool
from workloads.swarm import trial
from workloads.swarm.again import differs
from workloads.swarm.drive import Limits, Swarm, again_on
from workloads.swarm.generate import generate
from workloads.swarm.trial import Found

# Ray is started three times over.
pytestmark = [pytest.mark.ray, pytest.mark.nightly, pytest.mark.timeout(240)]


def test_seeds_are_run_by_workers_and_one_of_them_again():
    found = Swarm(Limits(first=9, runs=2, again=10, hang=60.0), again_on("ray", None))
    with pool("ray", None, 2, lambda: False, trial.run) as runs:
        found.run(runs, lambda: False, lambda _: None)
    assert (sorted(found.found), found.failing, found.checked) == ([9, 10], [], 1)
    here = trial.tried(trial.Trial(trial.plain(generate(9)), 60.0))
    assert here and found.found[9].digest == here.digest


def test_another_digest_is_told():
    failure = differs(generate(9), Found(digest="00", events=1), "ray", None, 0)
    assert failure and failure.kind == "digest"
