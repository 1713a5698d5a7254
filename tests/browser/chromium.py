"""A headless Chromium that is driven over a pipe by its devtools protocol: no port, no library, no waiting by time."""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-dev-shm-usage", "--hide-scrollbars", "--remote-debugging-pipe",
)  # fmt: skip
TO_BROWSER, FROM_BROWSER = 3, 4  # the descriptors at which the browser reads and writes
COMPLAINTS = ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded")


class Browser:
    """Commands and events end with a zero byte; an answer has its command's number."""

    def __init__(self, reading: int, writing: int) -> None:
        self.reading, self.writing = reading, writing
        self.buffer = b""
        self.number = 0
        self.events: list[dict[str, Any]] = []

    def send(self, method: str, session: str = "", **params: Any) -> Any:
        """Give a command and wait for its answer; what comes meanwhile is kept in `events`."""
        self.number += 1
        command = {"id": self.number, "method": method, "params": params}
        if session:
            command["sessionId"] = session
        os.write(self.writing, json.dumps(command).encode() + b"\0")
        while True:
            found = self.read()
            if found.get("id") == self.number:
                assert "error" not in found, f"{method}: {found['error']}"
                return found["result"]
            self.events.append(found)

    def wait_for(self, method: str) -> None:
        """Read until such an event comes, or has come."""
        while not any(event.get("method") == method for event in self.events):
            self.events.append(self.read())

    def read(self) -> dict[str, Any]:
        """The next message."""
        while b"\0" not in self.buffer:
            more = os.read(self.reading, 1 << 16)
            assert more, "the browser has gone"
            self.buffer += more
        text, _, self.buffer = self.buffer.partition(b"\0")
        found: dict[str, Any] = json.loads(text)
        return found


class Page:
    """A tab of its own, of this width in CSS pixels."""

    def __init__(
        self, browser: Browser, width: int, scheme: str = "light", media: str = ""
    ) -> None:
        self.browser = browser
        browser.events.clear()
        target = browser.send("Target.createTarget", url="about:blank")["targetId"]
        attached = browser.send("Target.attachToTarget", targetId=target, flatten=True)
        self.session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")
        self.send(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=800,
            deviceScaleFactor=1,
            mobile=width < 500,
        )
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.send("Emulation.setEmulatedMedia", media=media, features=features)

    def send(self, method: str, **params: Any) -> Any:
        """A command about this page."""
        return self.browser.send(method, self.session, **params)

    def open(self, path: Path) -> None:
        """Load a file, wholly."""
        self.send("Page.navigate", url=path.absolute().as_uri())
        self.browser.wait_for("Page.loadEventFired")

    def ask(self, script: str) -> Any:
        """The value of an expression in the page."""
        found = self.send("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def complaints(self) -> list[dict[str, Any]]:
        """Whatever the console would show."""
        return [event for event in self.browser.events if event.get("method") in COMPLAINTS]

    def requests(self) -> list[str]:
        """Addresses of what the page has asked for."""
        return [
            event["params"]["request"]["url"]
            for event in self.browser.events
            if event.get("method") == "Network.requestWillBeSent"
        ]


@contextmanager
def started(program: str, profile: Path) -> Iterator[Browser]:
    """A browser with an empty profile; it ends with the context."""
    for_it, to_it = os.pipe()
    from_it, by_it = os.pipe()

    def place() -> None:
        # Duplicates are inheritable; above the two numbers none of the four can be lost on the way.
        reading, writing = os.dup(for_it), os.dup(by_it)
        os.dup2(reading, TO_BROWSER)
        os.dup2(writing, FROM_BROWSER)

    process = subprocess.Popen(
        [program, *FLAGS, f"--user-data-dir={profile}"],
        preexec_fn=place,  # noqa: PLW1509 - no thread of ours holds a lock here
        pass_fds=(TO_BROWSER, FROM_BROWSER),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    os.close(for_it)
    os.close(by_it)
    browser = Browser(from_it, to_it)
    try:
        yield browser
        browser.send("Browser.close")
    finally:
        os.close(to_it)
        os.close(from_it)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
