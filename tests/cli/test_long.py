"""Days of simulated time: memory does not grow with them, and the clock does not lose its way."""

import json

import pytest

pytestmark = [pytest.mark.nightly, pytest.mark.timeout(900)]
SLOW = """
[scenario]
duration = "30d"
[fleet]
hosts = 2
vms_per_host = 4
[[workload]]
kind = "churn"
think = "1000s"
"""


@pytest.fixture
def days(gmemsim, tmp_path):
    """Of so many conversions: what a fresh process came to."""
    path = tmp_path / "slow.toml"
    path.write_text(SLOW)

    def run(conversions):
        wanted = f"scenario.conversions={conversions}"
        found = gmemsim("run", path, "--json", "--set", wanted)
        assert found.returncode == 0, found.stderr.decode()
        return json.loads(found.stdout)

    return run


def test_eight_times_as_long_a_run_takes_no_more_memory_and_as_long_for_each_conversion(days):
    short, long = days(2_500), days(20_000)
    assert long["simulated_seconds"] > 3 * 86_400
    assert long["engine"]["events"] > 7 * short["engine"]["events"]
    assert long["engine"]["peak_rss_bytes"] < 1.2 * short["engine"]["peak_rss_bytes"]
    assert long["conversions"]["failed"] == short["conversions"]["failed"] == 0
    means = [found["latency_seconds"]["mean"] for found in (short, long)]
    assert means[1] == pytest.approx(means[0], rel=0.1)
