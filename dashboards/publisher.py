"""Grafana's HTTP API as far as boards need it, by way of grafana-api: its answer, or one PublishError.

The only file that knows the library. Its per-object calls are not used: they go by numeric ids that Grafana 13 has
given up. What goes wrong in it for answers that are no JSON objects (TypeError, JSONDecodeError) is caught here.
"""

import json
import re
import time
from typing import Any
from urllib.parse import urlsplit

import msgspec
import requests
from grafana_api.grafana_api import GrafanaException
from grafana_api.grafana_face import GrafanaFace

RETRIED = (429, 502, 503, 504)
HINTS = {
    400: "Grafana refuses what was sent; a board that is provisioned from files cannot be saved",
    401: "the token is wrong or expired; expected a service account's token in GRAFANA_TOKEN or --token-file",
    403: "the token may not do this; expected a service account with the role Editor, Admin for a data source",
    404: "there is no such thing; is the path in --url right?",
    409: "the name is taken by something else; rename or remove that in Grafana",
    412: "something with this title and another uid is in the folder; rename or remove that in Grafana",
}
MEANWHILE = "somebody has changed it meanwhile; publish again"


class PublishError(Exception):
    """What Grafana or the way to it made of a request: one line, with what would be right. `status` 0: no answer."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class Grafana:
    """One server. `url` may have a path, behind which Grafana lives; `pause` is seconds before the first retry."""

    def __init__(
        self, url: str, token: str, timeout: float = 10.0, tries: int = 4, pause: float = 0.5
    ) -> None:
        try:
            parts = urlsplit(url)
            known = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        except ValueError:
            parts, known = urlsplit(""), False
        if not known or parts.query or parts.fragment or "@" in parts.netloc:
            raise PublishError(
                0, f"--url: found {masked(url)!r}, expected http(s)://HOST[:PORT][/PATH]"
            )
        self.url = url
        self.tries = tries
        self.pause = pause
        path = parts.path.strip("/")
        self._face = GrafanaFace(
            token,
            host=f"[{parts.hostname}]" if ":" in str(parts.hostname) else parts.hostname,
            port=parts.port,
            url_path_prefix=f"{path}/" if path else "",
            protocol=parts.scheme,
            timeout=timeout,
        )
        self._face.api.s.max_redirects = (
            0  # a redirect leads to a page for people, not to an answer
        )

    def get(self, path: str, shape: Any = dict[str, Any]) -> Any:
        """None where there is no such thing."""
        try:
            return self.call("GET", path, shape=shape)
        except PublishError as error:
            if error.status == requests.codes.not_found:
                return None
            raise

    def call(self, method: str, path: str, body: object = None, shape: Any = dict[str, Any]) -> Any:
        """The answer's JSON, of that type. Requests can be repeated: uids are fixed and saves overwrite."""
        for left in range(self.tries - 1, -1, -1):
            try:
                found = self._once(method, path, body)
                return msgspec.convert(found, shape)
            except msgspec.ValidationError:
                raise self._strange(json.dumps(found)[:40]) from None
            except PublishError as error:
                if not left or error.status not in (0, *RETRIED):
                    raise
            time.sleep(self.pause * 2 ** (self.tries - 1 - left))
        raise AssertionError("the last try returns or raises")

    def _once(self, method: str, path: str, body: object) -> Any:
        try:
            return getattr(self._face.api, method)(path, json=body)
        except GrafanaException as error:
            raise self._refused(error.status_code, error.response) from None
        except requests.TooManyRedirects:
            raise PublishError(
                302, f"{self.url} redirects, to a login perhaps; {HINTS[401]}"
            ) from None
        except requests.Timeout:
            raise PublishError(0, f"{self.url} does not answer in time") from None
        except requests.exceptions.JSONDecodeError:
            raise self._strange("something that is no JSON") from None
        except requests.RequestException as error:
            raise PublishError(0, f"{self.url} cannot be reached: {_reason(error)}") from None
        except (TypeError, KeyError):  # the library's, for an error whose body is no JSON object
            raise PublishError(502, f"{self.url} fails with a page that is not Grafana's") from None
        except ValueError:
            raise self._strange("something that is no JSON") from None

    def _strange(self, what: str) -> PublishError:
        return PublishError(
            200, f"{self.url} answers with {what}, expected Grafana's API: is the path right?"
        )

    def _refused(self, status: int, response: object) -> PublishError:
        """`response` is text where it is no JSON."""
        stale = isinstance(response, dict) and response.get("status") == "version-mismatch"
        if hint := (stale and MEANWHILE) or HINTS.get(status) or message(response):
            return PublishError(status, f"{self.url} says {status}: {hint}")
        what = "with a page that is not Grafana's" if response else "and nothing more"
        return PublishError(status, f"{self.url} fails with {status} {what}")


def message(response: object) -> str:
    """Grafana's own word of what is wrong, short and on one line; empty where there is none."""
    text = response.get("message") if isinstance(response, dict) else None
    return "".join(c for c in " ".join(str(text or "").split()) if c.isprintable())[:120]


def masked(url: str) -> str:
    """An address that can be shown: who is before its @, and the password, are not."""
    return re.sub(r"^(\w+://)?.*@", r"\1***@", url, flags=re.DOTALL)


def _reason(error: Exception) -> str:
    """Without the names of the libraries' objects."""
    text = str(error)
    for word in ("Name or service not known", "Connection refused", "certificate verify failed",
                 "Connection reset", "IncompleteRead"):  # fmt: skip
        if word.lower() in text.lower():
            return word.lower()
    return type(error).__name__
