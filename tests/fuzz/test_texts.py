"""Scenarios, experiments, `--set`, arrivals: whatever the text, it is shown, or refused in one line."""

import importlib.resources

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.bounds import within_bounds
from tests.fuzz.commands import ends_well
from tests.fuzz.strategies import mangled
from workloads import arrivals, scenario
from workloads.cost_table import load
from workloads.errors import UsageError
from workloads.scenario.read import TABLES_MAX

SHIPPED = [
    path.read_bytes()
    for folder in ("scenarios", "experiments")
    for path in sorted((importlib.resources.files("workloads") / folder).iterdir(), key=str)
]
KEYS = sorted({row.key for row in scenario.explain(scenario.Scenario())})
VALUES = st.sampled_from(
    [
        "nan",
        "-inf",
        "1e400",
        "9" * 400,
        "-1",
        "true",
        "[]",
        "{}",
        '""',
        '"\\u0000"',
        "1979-05-27",
        "[[1]]",
        "é",
        "\0",
        "\ufeff",
        "1ms",
        "1 GiB",
    ]
)
LINES = {
    "duplicate keys": b"[vm]\nmemory='1GiB'\nmemory='1GiB'\n",
    "a byte order mark": b"\xef\xbb\xbf[vm]\r\nmemory='1GiB'\r\n",
    "two byte order marks": b"\xef\xbb\xbf" * 2 + b"[vm]\n",
    "UTF-16": "[vm]".encode("utf-16"),
    "deep nesting": b"a=" + b"[" * 30_000,
    "deep keys": b"a" + b".a" * 3000 + b"=1",
    "a NUL": b"[vm]\0\n",
    "an array without end": b"[checks]\nx=[" + b"1," * 100_000 + b"]",
    "a number without end": b"fleet.vms=" + b"9" * 5000,
    "tables without end": b"[[fault]]\npoint='tdx.bug'\n" * 3000,
}


@pytest.mark.parametrize("name", LINES)
@pytest.mark.parametrize("command", ["show", "sweep"])
def test_a_strange_file_is_read_or_refused(tmp_path, name, command):
    path = tmp_path / "any.toml"
    path.write_bytes(LINES[name])
    assert ends_well(command, path).status in ((0, 2) if command == "show" else (2,))


@given(st.sampled_from(SHIPPED).flatmap(mangled))
def test_a_damaged_file_is_read_or_refused(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("text") / "any.toml"
    path.write_bytes(content)
    ends_well("show", path)


@given(st.binary(max_size=200))
def test_bytes_are_read_or_refused(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("bytes") / "any.toml"
    path.write_bytes(content)
    ends_well("show", path)


@given(
    st.lists(st.tuples(st.sampled_from(KEYS) | st.text(max_size=5), VALUES | st.text()), max_size=3)
)
def test_whatever_is_set_is_taken_or_refused(pairs):
    words = [word for key, value in pairs for word in ("--set", f"{key}={value}")]
    ends_well("show", "quickstart", *words)


@given(
    st.sampled_from(["block", "kick_slope", "none"]),
    st.text() | VALUES | st.floats() | st.integers(),
)
def test_a_cost_is_taken_or_refused(name, value):
    try:
        found = load("tdx-2026", {name: value})
    except UsageError as error:
        assert str(error).startswith(f"costs.override.{name}: ")
    else:
        assert any(cost.name == name for cost in found)


@given(
    st.text()
    | st.lists(st.sampled_from(["0 1", "1e400 0", "nan 1", "-1 1", "#", "\x85", " "])).map(
        "\n".join
    )
)
def test_arrivals_are_read_or_refused(text):
    try:
        rows = list(arrivals.rows("any.txt", text.splitlines()))
    except UsageError as error:
        assert str(error).startswith("any.txt:") and str(error).isprintable()
    else:
        assert all(at >= 0 and lifetime >= 0 for at, lifetime in rows)


def arrive(trace: str) -> None:
    """A device that never ends, as a trace of arrivals."""
    found = scenario.decode(
        "",
        "any.toml",
        [
            'arrivals.kind="trace"',
            f"arrivals.trace={trace}",
            'vm.start="unaccepted"',
            "fleet.reuse=readmit",
        ],
    )
    with pytest.raises(UsageError, match=r"arrivals\.trace: /dev/zero: larger than 64MiB"):
        arrivals.read(found)


def test_arrivals_without_end_are_refused():
    within_bounds(arrive, "/dev/zero")


def test_more_tables_than_anybody_means_are_refused_at_once():
    text = "workload=[" + "{}," * (TABLES_MAX + 1) + "]"
    with pytest.raises(
        UsageError, match=f"workload: found {TABLES_MAX + 1} tables, expected at most"
    ):
        scenario.decode(text, "any.toml")
