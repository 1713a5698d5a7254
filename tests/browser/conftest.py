"""One browser for all of these tests, and the pages that they look at."""

import shutil

import pytest

from tests.browser.chromium import started
from tests.workloads.experiment.small import SEARCH
from tests.workloads.small_runs import FAULTS, run
from workloads import compare, scenario
from workloads.execute import Settings, execute
from workloads.experiment.command import sweep
from workloads.outcome.folder import open_folder, write
from workloads.outcome.summary import summarise

SMALL = ("scenario.conversions=60", "fleet.hosts=1", "fleet.vms_per_host=2", FAULTS)

RELIEF = 'ilock = ["tree_store"], mmu_lock = ["block"], vmm = ["vmm_overhead"], iommu_queue ='
SWEEP = {
    "overrides": ("scenario.conversions=20", "fleet.hosts=1"),
    "executor": "local",
    "workers": None,
    "address": None,
    "seeds": 2,
    "time_limit": None,
    "as_json": False,
    "quiet": True,
}


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
    swept = base / "swept.toml"
    few = SEARCH.replace("high = 40", "high = 2").replace("iommu_queue =", RELIEF)
    swept.write_text(f'{few}\n[[plot]]\nx = "VMs"\ny = "p99"\n')
    sweep(str(swept), SWEEP | {"results": str(base)})
    return {
        "violated": violated / "report.html",
        "stopped": stopped / "report.html",
        "seeds": base / "one" / "latest" / "report.html",
        "sweep": base / "swept" / "latest" / "report.html",
        "comparison": base / "both" / "latest" / "report.html",
    }
