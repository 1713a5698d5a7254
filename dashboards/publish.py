"""Bring our folder, data source and boards into a Grafana: again and again to the same effect.

What is to be there is data, `wanted`; each piece is looked up, compared, and only written where it differs.
"""

import difflib
import json
from collections.abc import Iterator
from typing import Any, NamedTuple, NotRequired, TypedDict

from dashboards.build import BOARDS
from dashboards.panels import Json
from dashboards.publisher import Grafana

FOLDER = {"uid": "gmemsim", "title": "gmemsim"}
SOURCE_UID = "gmemsim-prometheus"
SCRAPE = "1s"  # prometheus/prometheus.yml; Grafana's $__rate_interval follows from it


class Saved(TypedDict):
    """What Grafana has of a dashboard."""

    dashboard: Json
    meta: Json
    folderUid: NotRequired[str | None]


class Piece(NamedTuple):
    """Something to be there. `look` finds it, an answer of that `shape`; a PUT `update` or POST `create` writes it."""

    kind: str
    name: str
    look: str
    create: str
    update: tuple[str, str]
    body: Json
    shape: Any = dict[str, Any]


class Change(NamedTuple):
    """What became of a piece, or would."""

    piece: Piece
    deed: str  # created, updated, unchanged
    diff: str

    def __str__(self) -> str:
        return f"{self.deed:9} {self.piece.kind} {self.piece.name}"


def source(prometheus: str) -> Json:
    """The data source."""
    return {
        "uid": SOURCE_UID,
        "name": "gmemsim Prometheus",
        "type": "prometheus",
        "access": "proxy",
        "url": prometheus,
        "isDefault": False,
        "jsonData": {"timeInterval": SCRAPE, "httpMethod": "POST"},
    }


def wanted(prometheus: str) -> Iterator[Piece]:
    """In the order in which they need each other."""
    folder = f"/folders/{FOLDER['uid']}"
    yield Piece("folder", FOLDER["title"], folder, "/folders", ("PUT", folder), FOLDER)
    at = f"/datasources/uid/{SOURCE_UID}"
    made = source(prometheus)
    yield Piece("data source", made["name"], at, "/datasources", ("PUT", at), made)
    for board in BOARDS:
        save = {"dashboard": board.model(), "folderUid": FOLDER["uid"], "overwrite": True}
        look = f"/dashboards/uid/{board.uid}"
        db = "/dashboards/db"
        yield Piece("dashboard", board.title, look, db, ("POST", db), save, Saved)


def publish(grafana: Grafana, prometheus: str, dry: bool = False) -> Iterator[Change]:
    """Each piece as it is done; `dry` looks and compares alone."""
    for piece in wanted(prometheus):
        there = grafana.get(piece.look, piece.shape)
        diff = difference(piece, there)
        if there is None:
            deed, way = "created", ("POST", piece.create)
        else:
            deed, way = ("updated" if diff else "unchanged"), piece.update
        if diff and not dry:
            grafana.call(*way, body(piece, there))
        yield Change(piece, deed, diff)


def body(piece: Piece, there: Any) -> Json:
    """What is sent. A folder is only overwritten by who says so."""
    return (
        piece.body if there is None or piece.kind != "folder" else piece.body | {"overwrite": True}
    )


def difference(piece: Piece, there: Any) -> str:
    """From what is there to what is to be, as a unified diff; empty where they agree in all that is ours."""
    after = ours(piece.kind, piece.body)
    before = ours(piece.kind, there, after) if there is not None else {}
    there_text, our_text = (lines_of(side) for side in (before, after))
    names = ("in Grafana", "ours")
    return "\n".join(difflib.unified_diff(there_text, our_text, *names, lineterm="", n=1))


def lines_of(found: Json) -> list[str]:
    """For people and for comparing."""
    return json.dumps(found, indent=2, sort_keys=True).splitlines()


def ours(kind: str, found: Any, like: Json | None = None) -> Json:
    """Without what the server adds: the keys that `like` has, and of a board all but its id and version."""
    if kind != "dashboard":
        return {key: value for key, value in found.items() if like is None or key in like}
    model = {
        key: value for key, value in found["dashboard"].items() if key not in ("id", "version")
    }
    return {
        "dashboard": model,
        "folderUid": found.get("folderUid") or found["meta"].get("folderUid"),
    }
