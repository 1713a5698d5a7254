"""The one line that every mistake in a scenario gets; most of them are in scenario_errors.txt."""

from pathlib import Path

import pytest

from workloads.errors import UsageError
from workloads.scenario import (
    decode,
    load,
    shipped,
)

POINTS = ("tdx.bug", "tdx.busy")


def quick(text="", *overrides):
    return decode(text, "quick.toml", overrides, POINTS)


def transcript():
    blocks = (Path(__file__).parent / "scenario_errors.txt").read_text().strip().split("\n\n")
    return [block.split("\n----\n") for block in blocks]


def error_of(text, *overrides):
    with pytest.raises(UsageError) as raised:
        quick(text, *overrides)
    return str(raised.value)


@pytest.mark.parametrize(("given", "error"), transcript())
def test_a_mistake_gets_one_line_with_place_and_remedy(given, error):
    text, _, override = given.partition("$ --set ")
    assert error_of(text, *[override] * bool(override)) == error


@pytest.mark.parametrize(
    ("override", "error"),
    [
        (
            "fleet.hosts=1\nx=2",
            'fleet.hosts: found "1\\nx=2", expected a whole number, 1 to 100000',
        ),
        (
            "vm.start=\udcff",
            'vm.start: found "\\udcff", expected one of "mapped-2m", "mapped-4k", "unaccepted", "prefaulted-2m"',
        ),
        (
            "scenario.name=\udcff",
            'scenario.name: found "\\udcff", expected text that is valid UTF-8',
        ),
    ],
)
def test_no_text_of_an_override_breaks_the_line(override, error):
    assert error_of("", override) == f"--set: {error}"


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("\n[fleet\n", "line 2, column 7: expected ']' at the end of a table declaration"),
        ("a = 1\na = 2", "line 2: a key is given twice"),
        ("[vm]\n[vm]", "line 2, column 4: cannot declare ('vm',) twice"),
        ("a = " + "[" * 9999, "nested too deeply; no key of a scenario lies deeper than 3"),
        ("x = 1\na" + ".a" * 9999 + " = 1", "line 2: a key of more than 64 parts"),
        ("a = " + "9" * 9999, "a number of thousands of digits"),
    ],
)
def test_what_is_no_toml_is_refused_with_its_line(text, error):
    assert error_of(text) == f"quick.toml: not TOML: {error}"


def test_many_dots_within_strings_are_no_deep_key():
    logs = ", ".join(f'"../traces/vm{number}.log.gz"' for number in range(50))
    text = f"[[workload]]\nkind = 'trace'\nlog = [{logs}]"
    assert len(quick(text).workload[0].log) == 50


# ---- sources


@pytest.fixture
def a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return Path("a.toml")


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"\x7fELF\n\xff\xfe", "line 2: not UTF-8 text, expected a TOML file"),
        (b"#" * (1 << 20) + b"#", "larger than 1MiB, expected a scenario file"),
        (b"\0", "not TOML: line 1, column 1: invalid statement"),
    ],
)
def test_a_file_that_is_no_scenario_is_refused(a_file, content, error):
    a_file.write_bytes(content)
    with pytest.raises(UsageError) as raised:
        load(str(a_file))
    assert str(raised.value) == f"a.toml: {error}"


def test_a_directory_is_refused(a_file):
    a_file.mkdir()
    with pytest.raises(UsageError, match=r"^a\.toml: is a directory, expected a scenario file$"):
        load("a.toml")


def test_an_unreadable_file_is_refused(a_file, monkeypatch):
    # Tests may run as root, who reads everything.
    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(UsageError, match=r"^a\.toml: cannot be read: Permission denied$"):
        load("a.toml")


@pytest.mark.parametrize("source", ["", "nope", "a\0b", "no/such\n/file.toml", "x" * 5000])
def test_a_missing_file_is_refused_on_one_line(source):
    with pytest.raises(UsageError) as raised:
        load(source)
    assert str(raised.value).isprintable()


def test_a_missing_file_has_the_nearest_shipped_scenario_named(a_file, monkeypatch):
    monkeypatch.setattr("workloads.scenario.source._shipped_files", lambda _: {"quick": a_file})
    with pytest.raises(UsageError) as raised:
        load("scenarios/qick.toml")
    text = '"scenarios/qick.toml": no such file and no shipped scenario; nearest: quick'
    assert str(raised.value) == text


def test_a_bare_shipped_name_is_that_scenario_and_a_path_is_a_file(a_file, monkeypatch):
    a_file.write_text("[fleet]\nhosts = 1")
    Path("b").write_text("[fleet]\nhosts = 2")
    monkeypatch.setattr("workloads.scenario.source._shipped_files", lambda _: {"b": a_file})
    assert (load("b").fleet.hosts, load("./b").fleet.hosts) == (1, 2)


@pytest.mark.parametrize("name", shipped())
def test_every_shipped_scenario_loads(name):
    assert load(name).scenario.name
