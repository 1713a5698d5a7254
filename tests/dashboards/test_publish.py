"""Publishing against a server that keeps to the description of Grafana's API."""

import copy
import json
import socket
import time
from functools import partial

import pytest

from dashboards import publish as p
from dashboards.build import BOARDS
from dashboards.marks import annotate
from dashboards.provision import ForeignFileError, provision
from dashboards.publisher import Grafana, PublishError
from tests.dashboards.contract import TOKEN, Server, serving

PROMETHEUS = "http://127.0.0.1:9090"
ALL = 2 + len(BOARDS)


def deeds(url, **how):
    grafana = Grafana(url, TOKEN, timeout=2, tries=2, pause=0.01)
    return [change.deed for change in p.publish(grafana, PROMETHEUS, **how)]


@pytest.mark.parametrize("file", ["openapi3.json.gz", "openapi3-v13.json.gz"])
@pytest.mark.parametrize("prefix", ["", "/some/grafana"])
def test_twice_is_once(file, prefix):
    server = Server(file)
    with serving(server, prefix) as url:
        assert deeds(url) == ["created"] * ALL
        before = copy.deepcopy((server.folders, server.sources, server.boards))
        assert deeds(url) == ["unchanged"] * ALL
        assert (server.folders, server.sources, server.boards) == before
    assert not server.broken
    assert {found["dashboard"]["title"] for found in server.boards.values()} == {
        board.title for board in BOARDS
    }


def test_what_somebody_changed_is_put_right():
    server = Server()
    with serving(server) as url:
        deeds(url)
        server.folders["gmemsim"]["title"] = "Mine"
        server.sources[p.SOURCE_UID]["url"] = "http://elsewhere:9090"
        server.boards[BOARDS[0].uid]["dashboard"]["title"] = "Mine"
        server.boards[BOARDS[1].uid]["meta"]["folderUid"] = "another"
        assert deeds(url) == ["updated"] * 4 + ["unchanged"] * (ALL - 4)
        assert deeds(url) == ["unchanged"] * ALL
    assert not server.broken


def test_a_dry_run_tells_and_touches_nothing():
    server = Server()
    with serving(server) as url:
        grafana = Grafana(url, TOKEN)
        changes = list(p.publish(grafana, PROMETHEUS, dry=True))
        assert [change.deed for change in changes] == ["created"] * ALL
        assert not server.folders
        deeds(url)
        server.boards[BOARDS[0].uid]["dashboard"]["title"] = "Mine"
        asked = len(server.asked)
        (found,) = [c for c in p.publish(grafana, PROMETHEUS, dry=True) if c.deed == "updated"]
        assert '-    "title": "Mine"' in found.diff
        assert f'+    "title": "{BOARDS[0].title}"' in found.diff
        assert server.boards[BOARDS[0].uid]["dashboard"]["title"] == "Mine"
    assert {method for method, _ in server.asked[asked:]} == {"GET"}


PAGE = b"<html>a message from the proxy</html>"
BAD_GATEWAY = b"<html><h1>Bad gateway</h1></html>"
FAULTS = {
    "401": (401, b'{"message": "no", "messageId": "api-key.invalid"}', 401, "--token-file"),
    "403": (403, b'{"message": "no"}', 403, "Editor"),
    "409": (409, b'{"message": "taken"}', 409, "taken"),
    "412": (412, b'{"message": "x", "status": "name-exists"}', 412, "another uid"),
    "412 of another version": (
        412,
        b'{"message": "x", "status": "version-mismatch"}',
        412,
        "meanwhile; publish again",
    ),
    "404 of all, a page too": (404, b"<html>no such page</html>", 404, "is the path in --url"),
    "400 of a provisioned board": (
        400,
        b'{"message": "Cannot save provisioned"}',
        400,
        "provisioned",
    ),
    "500 in JSON": (500, b'{"message": "database is locked"}', 500, "database is locked"),
    "502 with a page": (502, PAGE, 502, "not Grafana's"),
    "500 with another page": (500, BAD_GATEWAY, 500, "fails with 500 with a page"),
    "502 with another page": (502, BAD_GATEWAY, 502, "fails with 502 with a page"),
    "500 with nothing": (500, b"", 500, "fails with 500 and nothing more"),
    "500 with an empty message": (500, b'{"message": ""}', 500, "fails with 500"),
    "a list": (200, b"[]", 200, "answers with [], expected Grafana's API"),
    "an object of another kind": (200, b"{}", 200, "answers with {}, expected Grafana's API"),
    "500 with null": (500, b"null", 502, "not Grafana's"),
    "an empty answer": (200, b"", 200, "no JSON"),
    "a page": (200, PAGE, 200, "no JSON"),
    "a number": (200, b"3", 200, "expected Grafana's API"),
    "a redirect to the login": (302, b"", 302, "login"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_one_line_that_helps(name):
    status, content, known, words = FAULTS[name]
    server = Server()
    server.fault = lambda method, path: (status, content)
    with serving(server) as url, pytest.raises(PublishError) as caught:
        deeds(url)
    text = str(caught.value)
    assert caught.value.status == known
    assert words in text
    assert "\n" not in text and "<" not in text
    assert not text.endswith((":", " "))
    assert TOKEN not in text
    assert len(text) < 250


def answer(status, method, path):
    return status, b'{"message": "no"}'


def test_only_what_may_pass_is_tried_again():
    for status, tries in ((503, 2), (429, 2), (401, 1), (403, 1), (412, 1), (500, 1)):
        server = Server()
        server.fault = partial(answer, status)
        with serving(server) as url, pytest.raises(PublishError):
            deeds(url)
        assert len(server.asked) == tries


def test_a_server_that_comes_up_late_is_waited_for():
    server = Server()
    down = [None]

    def fault(method, path):
        return (503, b"starting") if down and not down.pop() else None

    server.fault = fault
    with serving(server) as url:
        assert deeds(url) == ["created"] * ALL


def test_a_time_out_and_a_closed_port_are_one_line():
    server = Server()

    def slow(method, path):
        time.sleep(0.5)
        return 200, b"{}"

    server.fault = slow
    with serving(server) as url, pytest.raises(PublishError, match="does not answer in time"):
        Grafana(url, TOKEN, timeout=0.1, tries=1).call("GET", "/health")
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(PublishError, match="connection refused"):
        Grafana(f"http://127.0.0.1:{port}", TOKEN, tries=1).call("GET", "/health")


def content_of(content, method, path):
    return 200, content


def test_annotations_that_are_none_are_one_line():
    for content in (b"{}", b"[3]", b'[{"text": "x"}]'):
        server = Server()
        server.fault = partial(content_of, content)
        with serving(server) as url, pytest.raises(PublishError, match="expected Grafana's API"):
            list(annotate(Grafana(url, TOKEN), "run", ()))


@pytest.mark.parametrize(
    "url", ["http://u:hunter2@a", "http://:hunter2@a", "http://u:hunter/2@a:x", "u:hunter2@a"]
)
def test_a_password_in_an_address_is_refused_and_not_shown(url):
    with pytest.raises(PublishError, match=r"\*\*\*@a.*expected http\(s\)://HOST") as caught:
        Grafana(url, TOKEN)
    assert "hunter" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["grafana:3000", "ftp://a", "http://", "http://a:x", "http://a?b=c"]
)
def test_an_address_that_is_none_is_told(url):
    with pytest.raises(PublishError, match=r"expected http\(s\)://HOST"):
        Grafana(url, TOKEN)


def test_provisioning_files_are_those_that_grafana_reads(tmp_path):
    written = provision(tmp_path, PROMETHEUS)
    assert [*written.values()] == ["new"] * ALL
    sources = json.loads((tmp_path / "datasources" / "gmemsim.yaml").read_text())
    assert sources["datasources"][0]["jsonData"]["timeInterval"] == "1s"
    providers = json.loads((tmp_path / "dashboards" / "gmemsim.yaml").read_text())
    folder = providers["providers"][0]["options"]["path"]
    assert {
        json.loads(path.read_text())["uid"] for path in written if str(path.parent) == folder
    } == {board.uid for board in BOARDS}


def test_provisioning_again_says_what_has_changed(tmp_path):
    first, *others = provision(tmp_path, PROMETHEUS)
    again = provision(tmp_path, "http://another:9090")
    assert again.pop(first) == "changed" and {*again.values()} == {"unchanged"}
    assert [*again] == others


@pytest.mark.parametrize(
    "text",
    ["apiVersion: 1\n", '{"uid": "mine", "title": "x"}', "[]", '{"datasources": [{"name": "p"}]}'],
)
def test_a_file_of_somebody_else_s_is_left_alone_and_so_is_the_rest(text, tmp_path):
    paths = [*provision(tmp_path, PROMETHEUS)]
    for path in paths[:-1]:
        path.unlink()
    paths[-1].write_text(text)
    with pytest.raises(ForeignFileError, match="has not written; move it away"):
        provision(tmp_path, PROMETHEUS)
    assert paths[-1].read_text() == text
    assert not any(path.exists() for path in paths[:-1])
