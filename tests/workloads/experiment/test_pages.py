"""Pages of docs/experiments: a block for each experiment, written from what a sweep came to."""

import json
import re

import pytest

from tests.workloads.experiment.small import GRID, SEARCH, Answers, grid, summary
from tests.workloads.experiment.test_drive import swept
from workloads.experiment import decode
from workloads.experiment.pages import BLOCK, PAGES, block, rewritten
from workloads.outcome.sweep_report import render
from workloads.scenario.source import EXPERIMENTS, read_source, shipped

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


# --- words against blocks ------------------------------------------------------------------------

# Figures of the prose that neither a page's block nor its experiment has, and where they come from.
ELSEWHERE = {
    "boot-capacity": {"34": "the first version", "88": "--seeds 1"},
    "busy-zero-step": {
        "2,000": "workload.rate",
        "2.3": "docs/domain.md",
        "40": "the cost",
        "99.8%": "resources.vmm",
    },
    "fleet-boot-storm": {
        "3.5": "the first version",
        "39": "the cost table",
        "51": "the cost table",
    },
    "host-capacity": {"1.6": "8,725 over 5,417", "20": "scenario.duration"},
    "host-scaling": {"0.01": "the first version", "75": "the law's peak"},
    "huge-pages": {
        "200": "the cost's range",
        "36": "two rows' ratio",
        "51": "a table's row, rounded",
    },
    "iommu-contention": {"0.28": "service_scv", "18": "three windows", "2,000": "workload.rate"},
    "kicks": {
        "0.52": "6.07 less the slope",
        "2.2%": "two slopes",
        "2.3": "docs/domain.md",
        "255": "256 less one",
        "262,144": "1 GiB in pages",
        "68.16": "gmemsim validate",
        "70": "the plot",
    },
    "protocols-under-failure": {"1,000": "workload.rate"},
    "retry-policies": {"0.27": "a table's row, rounded", "0.8%": "the same", "0.9%": "the same"},
}
FIGURE = re.compile(r"(?<![\w.])\d[\d,]*(?:\.\d+)?%?(?![\w])")
SMALL = 10  # whole numbers up to here are as often words


def figures(text):
    """Numbers of a text, without the commas of thousands."""
    found = (one.rstrip("%,").replace(",", "") for one in FIGURE.findall(text))
    return {one for one in found if one}


def prose_of(page):
    """What is written by hand, without commands and links."""
    return re.sub(r"`[^`]*`|\]\([^)]*\)|^    .*$", "", BLOCK.sub("", page), flags=re.MULTILINE)


def sources_of(page):
    """What its figures may come from: its blocks, and the experiments that those are of."""
    blocks = [*BLOCK.finditer(page)]
    files = [read_source(match["name"], EXPERIMENTS)[0] for match in blocks]
    return "\n".join([*(match[0] for match in blocks), *files])


def strangers(page):
    """Figures of the prose that come from neither."""
    missing = figures(prose_of(page)) - figures(sources_of(page))
    return {one for one in missing if "." in one or int(one) > SMALL}


PAGED = sorted(path.stem for path in PAGES.glob("*.md") if path.stem != "README")


@pytest.mark.parametrize("name", PAGED)
def test_figures_of_the_prose_are_those_of_the_block_or_told_to_be_others(name):
    told = {one.rstrip("%").replace(",", "") for one in ELSEWHERE[name]}
    assert strangers((PAGES / f"{name}.md").read_text()) == told


def test_a_figure_that_nothing_bears_out_is_found():
    page = (PAGES / "kicks.md").read_text()
    assert strangers(page + "\nA conversion takes 987.6 us.\n") == strangers(page) | {"987.6"}
