"""Results folders: each file damaged, swapped, missing or of another kind, for every command that reads them."""

import functools
import json
import os
import shutil
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.bounds import within_bounds
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
        "--seeds",
        2,
        "--results",
        base / "all",
    )
    assert gmemsim(*words).status == 0
    return [next((base / name / "quickstart").glob("[0-9]*")) for name in ("run", "all")]


def damage(kept, tmp_path_factory, data):
    """A copy of one of the folders, with one of its files damaged."""
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
    return folder


@given(st.data())
def test_a_damaged_folder_is_reported_or_refused(kept, tmp_path_factory, data):
    """Figures are made, and not written as SVG, which is most of the time."""
    with mock.patch(
        "matplotlib.figure.Figure.savefig", lambda figure, out, **_: out.write("<svg >")
    ):
        ends_well("report", damage(kept, tmp_path_factory, data))


@pytest.mark.nightly  # figures are written
@settings(max_examples=60)
@given(st.data())
def test_a_damaged_folder_is_drawn_or_refused(kept, tmp_path_factory, data):
    ends_well("report", damage(kept, tmp_path_factory, data))


@given(st.data())
def test_damaged_metrics_are_printed_or_refused(kept, tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("damaged")
    shutil.copy(kept[0] / "summary.json", folder)
    (folder / "metrics.om.gz").write_bytes(
        data.draw(mangled((kept[0] / "metrics.om.gz").read_bytes()))
    )
    ends_well("report", folder, "--openmetrics")


WHOLE = "latency_seconds"
ENDS = ("seeds", "protocols", "undo", "figures")
IMPOSSIBLE: dict[str, tuple[str, tuple[str, ...], object, str]] = {
    "no percentile of some": ("summary.json", (WHOLE, "p50"), None, "p50 is null of 40 - at `$.l"),
    "a percentile of none": ("summary.json", (WHOLE, "count"), 0, "of 0 - at `$.latency_seconds`"),
    "negative": ("summary.json", ("conversions", "failed"), -1, ">= 0 - at `$.conversions.failed`"),
    "beyond 63 bits": ("summary.json", ("memory", "fragments"), 2**63, "at `$.memory.fragments`"),
    "infinite": ("summary.json", ("simulated_seconds",), 1e308, "at `$.simulated_seconds`"),
    "an end that is a text": (
        "compare.json",
        (*ENDS, "simulated_seconds", "high"),
        "x",
        "got `str` - at `$.simulated_seconds.high`",
    ),
    "no mean": (
        "compare.json",
        (*ENDS, WHOLE, "p50", "mean"),
        None,
        "got `null` - at `$.latency_seconds.p50.mean`",
    ),
    "a table for a figure": (
        "compare.json",
        (*ENDS, "failures"),
        {"ENOMEM": {}},
        "missing required field `mean` - at `$.failures[...]`",
    ),
}


@pytest.mark.parametrize("name", IMPOSSIBLE)
def test_figures_that_no_run_has_are_refused_where_they_stand(kept, tmp_path, name):
    """Each was a traceback of the plot or table that met it, or a page that said it."""
    file, (*way, last), value, told = IMPOSSIBLE[name]
    folder = tmp_path / "results"
    shutil.copytree(kept[file == "compare.json"], folder)
    found = json.loads((folder / file).read_text())
    functools.reduce(dict.__getitem__, way, found)[last] = value
    (folder / file).write_text(json.dumps(found))
    ended = ends_well("report", folder)
    assert ended.status == 2 and f"{file}: damaged: " in ended.err and told in ended.err, ended


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("0.0,1e-300,1,0,1,0.1,0", "width_seconds is 1e-300"),
        ("1e11,1.0,1,0,1,0.1,0\n0.0,1.0,1,0,1,0.1,0", "begins at 0 s"),
        ("0.0,1.0,1,0,1,0.1,9223372036854775808", "<= 9223372036854775807"),
    ],
)
def test_bins_of_no_run_are_refused(kept, tmp_path, line, told):
    folder = tmp_path / "results"
    shutil.copytree(kept[0], folder)
    head = (folder / "timeline.csv").read_text().partition("\n")[0]
    (folder / "timeline.csv").write_text(f"{head}\n{line}\n")
    ended = ends_well("report", folder)
    assert ended.status == 2 and "timeline.csv: damaged: " in ended.err and told in ended.err, ended


@pytest.mark.parametrize(("number", "file"), [(0, "summary.json"), (1, "compare.json")])
def test_a_folder_of_another_version_is_one_line(kept, tmp_path, number, file):
    folder = tmp_path / "results"
    shutil.copytree(kept[number], folder)
    found = json.loads((folder / file).read_text())
    (folder / file).write_text(json.dumps({**found, "schema": 999}))
    ended = ends_well("report", folder)
    assert ended.status == 2 and f"{file}: schema 999, this gmemsim reads 1" in ended.err


OTHER = "; or of another version: gmemsim 0.0.9 of other sources wrote it, this is"


@pytest.mark.parametrize(("number", "file"), [(0, "summary.json"), (1, "compare.json")])
@pytest.mark.parametrize("told", [{"gmemsim": "0.0.9"}, {"gmemsim": "0.0.9", "sources": "ff"}])
def test_what_another_version_wrote_otherwise_names_that_version(
    kept, tmp_path, number, file, told
):
    """Folders of a hundred commits before were called damaged, no more."""
    folder = tmp_path / "results"
    shutil.copytree(kept[number], folder)
    found = json.loads((folder / file).read_text())
    one = found["protocols"]["undo"] if number else found
    one["versions"] = told
    (folder / file).write_text(json.dumps(found))
    assert ends_well("report", folder).status == 0
    del one["engine"]
    (folder / file).write_text(json.dumps(found))
    ended = ends_well("report", folder)
    assert ended.status == 2 and "missing required field `engine`" in ended.err
    assert OTHER in ended.err


@pytest.mark.parametrize("file", ["summary.json", "latency.csv", "timelines.json", "metrics.om.gz"])
def test_a_pipe_in_a_folder_is_refused_and_not_waited_for(kept, tmp_path, file):
    folder = tmp_path / "results"
    shutil.copytree(kept[0], folder)
    (folder / file).unlink(missing_ok=True)
    os.mkfifo(folder / file)
    words = ["--openmetrics"] if file == "metrics.om.gz" else []
    within_bounds(refused, "report", folder, *words)


def refused(*words) -> None:
    """With one line."""
    assert ends_well(*words).status == 2


@pytest.mark.parametrize("command", ["show", "compare"])
def test_a_folder_is_no_scenario(kept, command):
    for folder in kept:
        assert "is a directory" in ends_well(command, folder).err


@pytest.mark.parametrize("command", ["report", "resume", "show", "sweep"])
@pytest.mark.parametrize("name", ["loop", "a\0b", "latest", "\udcff", "x" * 5000, "/dev/zero"])
def test_a_path_that_leads_nowhere_is_one_line(tmp_path, monkeypatch, command, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "latest").write_bytes(b"a\0b")
    assert ends_well(command, name).status == 2
