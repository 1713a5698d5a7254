"""One browser for all of these tests, and the pages that they look at."""

import shutil

import pytest

from tests.browser.chromium import started
from tests.workloads.small_runs import FAULTS, run
from workloads import compare, scenario
from workloads.execute import Settings, execute
from workloads.outcome.folder import open_folder, write
from workloads.outcome.summary import summarise

SMALL = ("scenario.conversions=60", "fleet.hosts=1", "fleet.vms_per_host=2", FAULTS)


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    program = shutil.which("chromium")
    assert program
    with started(program, tmp_path_factory.mktemp("profile")) as found:
        yield found


@pytest.fixture(scope="session")
def pages(tmp_path_factory):
    """Name -> report.html."""
    base = tmp_path_factory.mktemp("results")
    quiet = Settings(results=str(base), quiet=True)
    whole = scenario.decode("", "one.toml", SMALL)
    found, outcome = run(FAULTS)
    stopped = open_folder(base, "stopped", 1)
    nothing = run(stop=True)
    write(stopped, nothing[0], summarise(*nothing), nothing[1], "")
    violated = open_folder(base, "violated", 1)
    write(violated, found, summarise(found, outcome, expect_digest="0" * 32), outcome, "")
    execute(whole, Settings(results=str(base), quiet=True, seeds=2))
    other = scenario.decode("", "both.toml", SMALL)
    compare.compare(other, ("undo", "two-phase"), quiet)
    return {
        "violated": violated / "report.html",
        "stopped": stopped / "report.html",
        "seeds": base / "one" / "latest" / "report.html",
        "comparison": base / "both" / "latest" / "report.html",
    }
