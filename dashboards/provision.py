"""Boards and data source as files that Grafana mounts: needs no token, and nobody edits them by accident."""

import json
from pathlib import Path

from dashboards.build import files
from dashboards.publish import FOLDER, source

PROVIDER = {
    "name": "gmemsim",
    "folder": FOLDER["title"],
    "folderUid": FOLDER["uid"],
    "type": "file",
    "disableDeletion": False,
    "allowUiUpdates": False,
    "updateIntervalSeconds": 30,
}


class ForeignFileError(Exception):
    """Somebody else's file is where one of ours would go; the text is one line for people."""


def provision(folder: Path, prometheus: str) -> dict[Path, str]:
    """Write them below `folder`, which Grafana is to see as its provisioning folder; returns what became of each.

    Nothing is written where a file is not one of ours.
    """
    boards = folder / "dashboards" / "gmemsim"
    provider = PROVIDER | {
        "options": {"path": str(boards.resolve()), "foldersFromFilesStructure": False}
    }
    texts = {
        folder / "datasources" / "gmemsim.yaml": document("datasources", source(prometheus)),
        folder / "dashboards" / "gmemsim.yaml": document("providers", provider),
    } | {boards / name: text for name, text in files().items()}
    became = {path: compared(path, text) for path, text in texts.items()}
    for path, text in texts.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return became


def compared(path: Path, text: str) -> str:
    """What will become of the file: new, unchanged or changed."""
    if not path.exists():
        return "new"
    found = path.read_text(errors="replace")
    if found == text:
        return "unchanged"
    if not ours(found):
        raise ForeignFileError(f"{path}: found a file that gmemsim has not written; move it away")
    return "changed"


def ours(text: str) -> bool:
    """One of our boards, of this version or another, or a file of `document` about us."""
    try:
        found = json.loads(text)
    except ValueError:
        return False
    if not isinstance(found, dict):
        return False
    entries = [*found.get("datasources", ()), *found.get("providers", ())] or [found]
    return all(
        isinstance(entry, dict) and str(entry.get("uid", entry.get("name"))).startswith("gmemsim")
        for entry in entries
    )


def document(key: str, entry: object) -> str:
    """One of Grafana's provisioning files: YAML, of which JSON is a part."""
    return json.dumps({"apiVersion": 1, key: [entry]}, indent=2) + "\n"
