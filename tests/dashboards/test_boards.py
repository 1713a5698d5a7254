"""The boards: current, valid against Grafana's schema, and kept to the rules of a good dashboard."""

import gzip
import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from cluster.metrics import EXPERIMENT, FAMILIES
from dashboards.board import VARIABLES
from dashboards.build import BOARDS, FOLDER, files
from dashboards.panels import WIDTH

DATA = Path(__file__).parent / "data"
SCHEMA = json.loads(gzip.decompress((DATA / "dashboard-v1-11.6.jsonschema.json.gz").read_bytes()))
# Keys of Prometheus' own annotation queries, which the schema of the dashboard leaves to the data source.
OF_THE_SOURCE = ("titleFormat", "step")
KNOWN = FAMILIES | EXPERIMENT
FAMILY = re.compile(r"gmemsim_\w+")
SELECTED = re.compile(r"(gmemsim_\w+)\{([^}]*)\}")
UNITS = {"none", "ops", "s", "bytes", "percentunit"}
MODELS = [board.model() for board in BOARDS]
PANELS = [
    pytest.param(panel, id=f"{model['uid']}: {panel['title']}")
    for model in MODELS
    for panel in model["panels"]
    if panel["type"] != "row"
]


def valid(model: Any, kind: str) -> None:
    jsonschema.validate(
        model, {"$ref": f"#/definitions/{kind}", "definitions": SCHEMA["definitions"]}
    )


def test_the_committed_files_are_those_that_the_code_makes():
    assert {path.name: path.read_text() for path in FOLDER.glob("*")} == files()


@pytest.mark.parametrize("model", MODELS, ids=lambda model: str(model["uid"]))
def test_a_board_is_valid_for_grafana(model):
    for panel in model["panels"]:
        # The first threshold's null is minus infinity; the schema has numbers alone, and says so.
        numbers = json.loads(json.dumps(panel).replace('{"value": null', '{"value": 0'))
        valid(numbers, "RowPanel" if panel["type"] == "row" else "Panel")
    queries = [
        {key: value for key, value in query.items() if key not in OF_THE_SOURCE}
        for query in model["annotations"]["list"]
    ]
    valid({**model, "id": 1, "panels": [], "annotations": {"list": queries}}, "Dashboard")


def test_the_schema_is_strict():
    with pytest.raises(jsonschema.ValidationError):
        valid({**MODELS[0]["panels"][1], "colour": "red"}, "Panel")


@pytest.mark.parametrize("model", MODELS, ids=lambda model: str(model["uid"]))
def test_a_board_keeps_to_the_rules(model):
    assert (model["id"], model["editable"]) == (None, False)
    assert model["description"]
    assert model["tags"] == ["gmemsim"]
    text = json.dumps([model["panels"], model["annotations"]])
    names = [variable["name"] for variable in model["templating"]["list"]]
    assert names[0] == "datasource"
    for variable in VARIABLES:
        assert (variable.name in names) == (f"${variable.name}" in text)
    numbers = [panel["id"] for panel in model["panels"]]
    assert len(numbers) == len({*numbers})
    titles = [panel["title"] for panel in model["panels"]]
    assert len(titles) == len({*titles})


def test_uids_and_titles_are_unique():
    assert len({model["uid"] for model in MODELS}) == len(MODELS)
    assert len({model["title"] for model in MODELS}) == len(MODELS)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: str(model["uid"]))
def test_panels_do_not_overlap(model):
    taken: set[tuple[int, int]] = set()
    for panel in model["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= WIDTH
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not taken & cells
        taken |= cells


@pytest.mark.parametrize("panel", PANELS)
def test_a_panel_says_what_it_shows(panel):
    assert panel["title"]
    assert len(panel["description"]) > 40
    assert panel["fieldConfig"]["defaults"]["unit"] in UNITS
    assert panel["fieldConfig"]["defaults"]["thresholds"]["steps"][0]["value"] is None
    assert panel["datasource"]["uid"] == "${datasource}"
    for target in panel["targets"]:
        assert target["legendFormat"]


@pytest.mark.parametrize("panel", PANELS)
def test_a_query_asks_for_what_there_is_in_the_way_it_has_to(panel):
    for target in panel["targets"]:
        asked = target["expr"]
        found = SELECTED.findall(asked)
        assert len(found) == len(FAMILY.findall(asked)), "every selector is by run"
        for name, selector in found:
            family = KNOWN[re.sub("_(bucket|count|sum)$", "", name)]
            assert (family.kind == "histogram") == (family.name != name)
            for variable in ("run_id", "job", "instance"):
                assert f'{variable}=~"${variable}"' in selector
            labels = {*re.findall(r"(\w+)=", selector)} - {"run_id", "job", "instance"}
            assert labels <= {*family.labels}
            assert ("protocol" in labels) == ("protocol" in family.labels)
            rated = re.search(rf"(rate|increase)\({name}\{{", asked) is not None
            derived = re.search(rf"deriv\({name}\{{", asked) is not None
            assert not (rated and family.kind == "gauge")
            assert not (derived and family.kind != "gauge")
        for window in re.findall(r"\}\[([^\]]*)\]", asked):
            assert window == ("$__range" if target["instant"] else "$__rate_interval")
        if "histogram_quantile" in asked:
            assert re.search(r"sum by \(le\b", asked)
            assert '"mean"' not in json.dumps(panel["options"]), "a mean of a quantile says nothing"


@pytest.mark.parametrize("panel", PANELS)
def test_grouping_is_by_labels_that_the_family_has(panel):
    for target in panel["targets"]:
        names = {
            re.sub("_(bucket|count|sum)$", "", name) for name, _ in SELECTED.findall(target["expr"])
        }
        known = {label for name in names for label in KNOWN[name].labels} | {"le"}
        by = {
            label.strip()
            for group in re.findall(r"by \(([^)]*)\)", target["expr"])
            for label in group.split(",")
        }
        assert by <= known
        assert {*re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])} <= by
