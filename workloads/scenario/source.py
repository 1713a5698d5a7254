"""Where scenarios and experiments come from: files, the shipped ones, and the TOML text in them."""

import importlib.resources
import re
import tomllib
from importlib.resources.abc import Traversable
from pathlib import PurePath
from typing import Any

from workloads.errors import UsageError
from workloads.wording import printable, quote, suggestion

BYTES_MAX = 1 << 20
DEPTH_MAX = 64
SCENARIOS, EXPERIMENTS = "scenarios", "experiments"  # folders; without its s the name of one

# A quoted string, ended or not; possessive, so that no text takes more than one pass.
_QUOTED = re.compile(r""""(?:[^"\\]++|\\.)*+"?|'[^']*+'?""")
# The parser's words for mistakes that have a plainer name.
_PLAINER = {
    "Cannot overwrite a value": "a key is given twice",
    "Cannot mutate immutable namespace": "a table is given twice",
    "Cannot redefine namespace": "a table is given twice",
}


def shipped(folder: str = SCENARIOS) -> tuple[str, ...]:
    """The names of those that come with the package."""
    return tuple(sorted(_shipped_files(folder)))


def read_source(source: str, folder: str = SCENARIOS) -> tuple[str, str]:
    """The text of a scenario or experiment and the name to call it by; a shipped name wins over a file."""
    if source in shipped(folder):  # this project's own folder has a script called quickstart
        return _read_shipped(source, folder)
    kind = folder[:-1]
    try:
        with open(source, "rb") as file:
            text = _text(file.read(BYTES_MAX + 1), printable(source), kind)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return _read_shipped(source, folder)
    except IsADirectoryError:
        raise UsageError(f"{printable(source)}: is a directory, expected {a(kind)} file") from None
    except OSError as error:
        raise UsageError(f"{printable(source)[:200]}: cannot be read: {error.strerror}") from None
    if not text.strip():
        raise UsageError(f"{printable(source)}: is empty, expected {a(kind)} file")
    return text, source


def a(noun: str) -> str:
    """With its article."""
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def parse_toml(text: str) -> dict[str, Any]:
    """The document; ValueError says where it is no TOML."""
    for number, line in enumerate(text.split("\n"), start=1):
        # The parser takes quadratic time on keys of many parts.
        if line.count(".") > DEPTH_MAX and _QUOTED.sub("", line).count(".") > DEPTH_MAX:
            raise ValueError(f"line {number}: a key of more than {DEPTH_MAX} parts")
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply; no key of a scenario lies deeper than 3") from None
    except ValueError as error:
        raise ValueError(_syntax(str(error), text)) from None


def _syntax(message: str, text: str) -> str:
    """The parser's message with the line first."""
    what, _, place = message.rpartition(" (at ")
    if not what:
        return "a number of thousands of digits"  # Python's own limit
    place = place.removesuffix(")").replace("end of document", f"line {text.count(chr(10)) + 1}")
    plain = _PLAINER.get(what, what[:1].lower() + what[1:])
    short = printable(plain if len(plain) <= 120 else plain[:117] + "...")
    return f"{place}: {short}"


def _text(content: bytes, where: str, kind: str) -> str:
    if len(content) > BYTES_MAX:
        raise UsageError(f"{where}: larger than 1MiB, expected {a(kind)} file")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        text = f"line {line}: not UTF-8 text, expected a TOML file"
        raise UsageError(f"{where}: {text}") from None


def _shipped_files(folder: str) -> dict[str, Traversable]:
    found = importlib.resources.files("workloads") / folder
    files = found.iterdir() if found.is_dir() else ()
    return {file.name[:-5]: file for file in files if file.name.endswith(".toml")}


def _read_shipped(name: str, folder: str) -> tuple[str, str]:
    files, kind = _shipped_files(folder), folder[:-1]
    file = files.get(name.removesuffix(".toml"))
    if file is None:
        hint = suggestion(PurePath(name).name.removesuffix(".toml"), sorted(files), folder)
        raise UsageError(f"{quote(name)}: no such file and no shipped {kind}; {hint}")
    return _text(file.read_bytes(), file.name, kind), file.name
