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


def provision(folder: Path, prometheus: str) -> list[Path]:
    """Write them below `folder`, which Grafana is to see as its provisioning folder; returns the files."""
    boards = folder / "dashboards" / "gmemsim"
    provider = PROVIDER | {
        "options": {"path": str(boards.resolve()), "foldersFromFilesStructure": False}
    }
    texts = {
        folder / "datasources" / "gmemsim.yaml": document("datasources", source(prometheus)),
        folder / "dashboards" / "gmemsim.yaml": document("providers", provider),
    } | {boards / name: text for name, text in files().items()}
    for path, text in texts.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return list(texts)


def document(key: str, entry: object) -> str:
    """One of Grafana's provisioning files: YAML, of which JSON is a part."""
    return json.dumps({"apiVersion": 1, key: [entry]}, indent=2) + "\n"
