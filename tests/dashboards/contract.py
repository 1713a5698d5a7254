"""A server that keeps to the public description of Grafana's HTTP API, and one that fails in every way it may.

Requests are checked against the description (path, method, body) and against what it leaves out; answers are
checked against it too, so that the tests cannot lean on something that Grafana would not say.
"""

import gzip
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import jsonschema

DATA = Path(__file__).parent / "data"
TOKEN = "glsa_secret_of_the_test"
NEEDED = {
    ("POST", "/api/datasources"): ("name", "type", "access"),
    ("POST", "/api/dashboards/db"): ("dashboard",),
    ("POST", "/api/folders"): ("title",),
}
Answer = tuple[int, Any]


class Contract:
    """The description of one version."""

    def __init__(self, file: str) -> None:
        self.spec = json.loads(gzip.decompress((DATA / file).read_bytes()))

    def operation(self, method: str, path: str) -> tuple[dict[str, Any], list[str]]:
        """And the values in the path; a test that asks for anything else fails."""
        for pattern, methods in self.spec["paths"].items():
            found = re.fullmatch(re.sub(r"\{\w+\}", "([^/]+)", pattern), path)
            if found and method.lower() in methods:
                return methods[method.lower()], list(found.groups())
        raise AssertionError(f"{method} {path} is not in the description")

    def check(self, value: Any, schema: dict[str, Any]) -> None:
        """Against a schema of the description."""
        jsonschema.validate(value, schema | {"components": self.spec["components"]})

    def request(self, operation: dict[str, Any], method: str, path: str, body: Any) -> None:
        """Is the body what it should be?"""
        content = operation.get("requestBody", {}).get("content", {})
        if content:
            self.check(body, content["application/json"]["schema"])
        for key in NEEDED.get((method, path), ()):
            assert key in body, f"{method} {path} without {key}"

    def answer(self, operation: dict[str, Any], status: int, found: Any) -> None:
        """May Grafana say this?"""
        content = operation["responses"][str(status)].get("content", {})
        if content:
            self.check(found, content["application/json"]["schema"])


class Server:
    """What a Grafana holds. `fault` may answer in its place, with bytes."""

    def __init__(self, file: str = "openapi3.json.gz") -> None:
        self.contract = Contract(file)
        self.folders: dict[str, Any] = {}
        self.sources: dict[str, Any] = {}
        self.boards: dict[str, Any] = {}
        self.annotations: list[Any] = []
        self.asked: list[tuple[str, str]] = []
        self.broken: list[str] = []
        self.fault: Callable[[str, str], tuple[int, bytes] | None] = lambda method, path: None

    def handle(self, method: str, path: str, body: Any) -> Answer:
        """One request, which has to be right."""
        operation, values = self.contract.operation(method, path)
        self.contract.request(operation, method, path, body)
        status, found = (
            self._routes()[(method, re.sub(r"uid/.*|(?<=folders)/.*", "*", path))](*values, body)
            if values
            else self._routes()[(method, path)](body)
        )
        self.contract.answer(operation, status, found)
        return status, found

    def _routes(self) -> dict[tuple[str, str], Callable[..., Answer]]:
        return {
            ("GET", "/api/health"): lambda _: (200, {"database": "ok", "version": "11.6.0"}),
            ("GET", "/api/folders*"): lambda uid, _: self._one(self.folders, uid),
            ("POST", "/api/folders"): lambda body: self._put(self.folders, body["uid"], {**body, "version": 1}),
            ("PUT", "/api/folders*"): self._folder,
            ("GET", "/api/datasources/*"): lambda uid, _: self._one(self.sources, uid),
            ("POST", "/api/datasources"): self._source,
            ("PUT", "/api/datasources/*"): lambda uid, body: (
                200, {"message": "Datasource updated", "name": body["name"], "id": 1,
                      "datasource": self._put(self.sources, uid, {**body, "id": 1, "readOnly": False})[1]}),
            ("GET", "/api/dashboards/*"): self._board,
            ("POST", "/api/dashboards/db"): self._save,
            ("POST", "/api/annotations"): self._annotate,
            ("GET", "/api/annotations"): lambda _: (200, self.annotations),
        }  # fmt: skip

    def _one(self, held: dict[str, Any], uid: str) -> Answer:
        return (200, held[uid]) if uid in held else (404, {"message": "not found"})

    def _put(self, held: dict[str, Any], uid: str, value: Any) -> Answer:
        held[uid] = value
        return 200, value

    def _folder(self, uid: str, body: Any) -> Answer:
        if not body.get("overwrite"):
            return 412, {
                "message": "the folder has been changed by someone else",
                "status": "version-mismatch",
            }
        return self._put(self.folders, uid, {"uid": uid, "title": body["title"], "version": 2})

    def _source(self, body: Any) -> Answer:
        if any(found["name"] == body["name"] for found in self.sources.values()):
            return 409, {"message": "data source with the same name already exists"}
        made = self._put(self.sources, body["uid"], {**body, "id": 1, "readOnly": False})[1]
        return 200, {
            "message": "Datasource added",
            "name": body["name"],
            "id": 1,
            "datasource": made,
        }

    def _board(self, uid: str, _: Any) -> Answer:
        return self._one(self.boards, uid)

    def _save(self, body: Any) -> Answer:
        board, folder = body["dashboard"], body.get("folderUid")
        assert board["id"] is None
        if folder not in self.folders:
            return 400, {"message": "folder not found"}
        held = self.boards.get(board["uid"])
        version = held["dashboard"]["version"] + 1 if held else 1
        if held and not body.get("overwrite"):
            return 412, {"message": "changed by someone else", "status": "version-mismatch"}
        number = len(self.boards) + 1
        self.boards[board["uid"]] = {
            "dashboard": {**board, "id": number, "version": version},
            "meta": {"folderUid": folder, "slug": board["uid"]},
        }
        return 200, {"id": number, "uid": board["uid"], "url": f"/d/{board['uid']}", "status": "success",
                     "version": version, "slug": board["uid"], "title": board["title"]}  # fmt: skip

    def _annotate(self, body: Any) -> Answer:
        self.annotations.append({**body, "id": len(self.annotations) + 1})
        return 200, {"id": len(self.annotations), "message": "Annotation added"}


@contextmanager
def serving(server: Server, prefix: str = "") -> Iterator[str]:
    """Its URL."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            text = self.rfile.read(length)
            assert self.path.startswith(prefix)
            path = self.path.removeprefix(prefix)
            server.asked.append((self.command, path))
            found = server.fault(self.command, path)
            if found is None:
                found = self.reply(path.partition("?")[0], text)
            status, content = found
            self.send_response(status)
            if status == 302:
                self.send_header("Location", "/login")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            with suppress(BrokenPipeError):  # whoever asked has given up
                self.wfile.write(content)

        def reply(self, path: str, text: bytes) -> tuple[int, bytes]:
            if self.headers.get("Authorization") != f"Bearer {TOKEN}":
                return 401, b'{"message": "Invalid API key", "messageId": "api-key.invalid"}'
            try:
                status, found = server.handle(
                    self.command, path, json.loads(text) if text else None
                )
            except (AssertionError, jsonschema.ValidationError) as error:
                server.broken.append(str(error))
                return 400, b'{"message": "the test\'s server says: against the description"}'
            return status, json.dumps(found).encode()

        do_GET = do_POST = do_PUT = answer

        def log_message(self, *_: object) -> None:
            """Not on the test's output."""

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=http.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{http.server_port}{prefix}"
    finally:
        http.shutdown()
        http.server_close()
        thread.join()
