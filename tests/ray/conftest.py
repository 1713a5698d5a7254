"""One Ray cluster for all of these tests: starting one takes seconds."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session", autouse=True)
def ray_cluster(tmp_path_factory):
    """Four CPUs on this machine, in a home folder of its own (Ray leaves its token there)."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    old = os.environ.get("HOME")
    os.environ["HOME"] = str(tmp_path_factory.mktemp("home"))
    import ray

    # The dashboard is whom ray.util.state asks.
    ray.init(
        "local", num_cpus=4, include_dashboard=True, logging_level="ERROR", log_to_driver=False
    )
    yield ray
    ray.shutdown()
    if old:
        os.environ["HOME"] = old


@pytest.fixture(autouse=True)
def in_the_repository(monkeypatch):
    """Workers import tests.toy from here."""
    monkeypatch.chdir(Path(__file__).parents[2])
