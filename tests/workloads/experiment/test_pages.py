"""Pages of docs/experiments: a block for each experiment, written from what a sweep came to."""

import json

from tests.workloads.experiment.small import GRID, SEARCH, Answers, grid, summary
from tests.workloads.experiment.test_drive import swept
from workloads.experiment import decode
from workloads.experiment.pages import BLOCK, PAGES, block, rewritten
from workloads.outcome.sweep_report import render
from workloads.scenario.source import EXPERIMENTS, shipped

TABLE = """
[[table]]
of = ["p99"]
across = "protocol"

[[table]]
of = ["p99"]
"""


def slower(scenario):
    return summary(scenario, 1e-3 * scenario.fleet.vms_per_host)


def test_a_block_has_answer_checks_and_tables(tmp_path):
    found = swept(tmp_path, grid(text=GRID + TABLE), Answers(slower))
    text = block(found)
    assert text.startswith("<!-- results of small -->\n*4 points, 2 seeds each; ")
    assert "1.00 ms to 2.00 ms at" in text
    assert "| VMs | p99, protocol two-phase | p99, protocol undo |" in text
    assert "| 2 | 2.00 ms | 2.00 ms |" in text
    assert "| protocol | VMs | p99 |" in text and "| undo | 1 | 1.00 ms |" in text
    assert "| most p99 | < 1s | 2.00 ms | holds |" in text


def test_a_search_has_its_answers_in_a_table(tmp_path):
    found = swept(tmp_path, decode(SEARCH, "small.toml"), Answers(slower))
    assert "| protocol |" in block(found) and "| undo | 4 |" in block(found)


def test_a_report_explains_the_marks_that_it_has_and_no_others(tmp_path):
    found = swept(tmp_path, decode(SEARCH, "small.toml"), Answers(slower))
    first, *others = found["found"]
    relieved = {**first, "relieved": {"resource": "ilock", "answer": first["answer"]}}
    plain = [{**one, "relieved": None, "control": None} for one in found["found"]]
    without = render({**found, "found": plain})
    with_one = render({**found, "found": [{**relieved, "control": None}, *others]})
    assert "a dot as it is." in without and "a square" not in without
    assert "a dot as it is, a square with" in with_one


def test_what_is_written_by_hand_stays_and_so_does_what_was_not_run(tmp_path):
    found = swept(tmp_path / "runs", grid(), Answers(slower))
    there = tmp_path / "small" / "latest"
    there.mkdir(parents=True)
    (there / "points.json").write_text(json.dumps(found))
    page = "# T\n\n{}\n\nwords\n\n{}\n"
    old = [f"<!-- results of {name} -->\nold\n<!-- end -->" for name in ("small", "other")]
    text, missing = rewritten(page.format(*old), tmp_path)
    assert (text, missing) == (page.format(block(found), old[1]), ["other"])
    assert rewritten(text, tmp_path)[0] == text


def test_every_shipped_experiment_has_one_block():
    text = "".join(path.read_text() for path in PAGES.glob("*.md"))
    assert sorted(match["name"] for match in BLOCK.finditer(text)) == sorted(shipped(EXPERIMENTS))
