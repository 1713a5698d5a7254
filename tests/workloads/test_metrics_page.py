"""The reference page of metrics says what the table of families says."""

from pathlib import Path

from cluster.metrics import EXPERIMENT, FAMILIES
from workloads.metrics_page import reference

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "metrics.md"


def test_the_page_in_the_tree_is_current():
    found = PAGE.read_text(encoding="utf-8")
    assert found == reference(), "run: python -m workloads.metrics_page > docs/reference/metrics.md"


def test_every_family_and_label_has_its_row():
    page = reference()
    for family in EXPERIMENT.values():
        assert f"| `{family.name}` | {family.kind} | {family.clock} |" in page
        assert all(f"`{label}`" in page for label in family.labels)
    for family in FAMILIES.values():
        assert f"| `{family.name}` | {family.kind} | {family.clock} |" in page
        assert all(f"\n| `{label}` | " in page for label in family.labels)
