"""Results folders: each file damaged, swapped, missing or of another kind, for every command that reads them."""

import json
import math
import shutil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.commands import ends_well, gmemsim
from tests.fuzz.strategies import changed, mangled

SMALL = (
    "--quiet",
    "--set",
    "scenario.conversions=40",
    "--set",
    "fleet.hosts=1",
    "--set",
    "fleet.vms_per_host=2",
)
REPORT_EXAMPLES = max(10, settings.get_profile("check").max_examples // 3)  # each draws a page
READ = (
    "summary.json",
    "latency.csv",
    "timeline.csv",
    "anomalies.jsonl",
    "timelines.json",
    "compare.json",
)


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """Folder of a run, and of a comparison."""
    base = tmp_path_factory.mktemp("results")
    assert gmemsim("run", "quickstart", *SMALL, "--results", base / "run").status == 0
    words = (
        "compare",
        "quickstart",
        *SMALL,
        "--protocol",
        "undo,two-phase",
        "--results",
        base / "all",
    )
    assert gmemsim(*words).status == 0
    return [next((base / name / "quickstart").glob("[0-9]*")) for name in ("run", "all")]


@pytest.mark.nightly  # pages are drawn
@settings(max_examples=REPORT_EXAMPLES)
@given(st.data())
def test_a_damaged_folder_is_reported_or_refused(kept, tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("damaged") / "results"
    shutil.copytree(data.draw(st.sampled_from(kept)), folder)
    files = sorted(path for path in folder.rglob("*") if path.name in READ)
    path = data.draw(st.sampled_from(files))
    content = path.read_bytes()
    path.unlink()
    how = data.draw(st.sampled_from(["value", "value", "bytes", "other", "loop", "folder", "gone"]))
    if how == "value" and path.suffix == ".json":
        path.write_text(json.dumps(data.draw(changed(json.loads(content)))))
    elif how in ("value", "bytes"):
        path.write_bytes(data.draw(mangled(content)))
    elif how == "other":
        shutil.copy(data.draw(st.sampled_from([one for one in files if one != path])), path)
    elif how == "loop":
        path.symlink_to(path.name)
    elif how == "folder":
        path.mkdir()
    ends_well("report", folder)


@given(st.data())
def test_damaged_metrics_are_printed_or_refused(kept, tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("damaged")
    shutil.copy(kept[0] / "summary.json", folder)
    (folder / "metrics.om.gz").write_bytes(
        data.draw(mangled((kept[0] / "metrics.om.gz").read_bytes()))
    )
    ends_well("report", folder, "--openmetrics")


def test_figures_that_no_page_can_show_are_one_line(kept, tmp_path, monkeypatch):
    folder = tmp_path / "results"
    shutil.copytree(kept[0], folder)
    monkeypatch.setattr("workloads.outcome.report.render", lambda found: math.log10(-1))
    ended = ends_well("report", folder)
    assert ended.status == 2 and "damaged: its figures are of no run" in ended.err


@pytest.mark.parametrize("command", ["report", "resume", "show", "sweep"])
@pytest.mark.parametrize("name", ["loop", "a\0b", "latest", "\udcff", "x" * 5000, "/dev/zero"])
def test_a_path_that_leads_nowhere_is_one_line(tmp_path, monkeypatch, command, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "latest").write_bytes(b"a\0b")
    assert ends_well(command, name).status == 2
