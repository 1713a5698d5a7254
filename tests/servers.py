"""Servers of tests: where one can listen, and what a Prometheus answers."""

import json
import socket
import urllib.parse
import urllib.request
from typing import Any


def free_port() -> int:
    """One that nobody listens at now."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def asked(url: str, query: str) -> list[dict[str, Any]]:
    """The samples of an instant vector."""
    text = urllib.parse.urlencode({"query": query})
    with urllib.request.urlopen(f"{url}/api/v1/query?{text}", timeout=10) as answer:
        found: list[dict[str, Any]] = json.load(answer)["data"]["result"]
        return found
