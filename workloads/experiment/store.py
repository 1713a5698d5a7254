"""Finished runs on disk, one file each, by the hash of what they are: nothing is simulated twice."""

from pathlib import Path
from typing import Any

import msgspec

from workloads.outcome import files

Summary = dict[str, Any]


class Store:
    """Summaries in a folder. A file that is damaged, or not whole, is as if it were not there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def path(self, key: str) -> Path:
        """Of the summary by this key."""
        return self.folder / f"{key}.json"

    def get(self, key: str) -> Summary | None:
        """The summary, if there is one."""
        try:
            found = msgspec.json.decode(self.path(key).read_bytes())
        except (OSError, msgspec.DecodeError):
            return None
        return found if isinstance(found, dict) and found.get("finished") is True else None

    def put(self, key: str, summary: bytes) -> Summary:
        """Keep it, whole or not at all; returns it."""
        files.write_bytes(self.path(key), summary)
        found: Summary = msgspec.json.decode(summary)
        return found
