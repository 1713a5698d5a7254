"""`--set KEY=VALUE`: changes to a parsed document before anything in it is judged."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from workloads.errors import UsageError
from workloads.scenario.read import FREE_TABLES, SET, Path, dotted, unknown
from workloads.scenario.source import parse_toml
from workloads.wording import found, quote


class Given(NamedTuple):
    """A text as for `--set`, and the flag that a user typed for it; none where it only follows from others."""

    text: str
    flag: str = SET


def apply(document: dict[str, Any], texts: Sequence[str | Given]) -> dict[Path, str]:
    """Change the document in place; the paths that were set, with their flags."""
    paths = dict[Path, str]()
    for text, flag in (one if isinstance(one, Given) else Given(one) for one in texts):
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise UsageError(
                f"{flag or SET}: found {quote(text)}, expected KEY=VALUE such as fleet.hosts=64"
            )
        path = _split(key.strip())
        before = paths.get(path, "")
        if before not in ("", flag):
            raise UsageError(f"{before} and {flag} {dotted(path)}: give one of them")
        _put(document, path, _value(value.strip()), flag or SET)
        paths[path] = flag
    return {path: flag for path, flag in paths.items() if flag}


def _split(key: str) -> Path:
    """The parts of a key; what follows a free table's name is one name, dots and all."""
    for table in FREE_TABLES:
        prefix = ".".join(table) + "."
        if key.startswith(prefix) and len(key) > len(prefix):
            return (*table, key.removeprefix(prefix).strip("\"'"))
    return tuple(key.split("."))


def _value(text: str) -> Any:
    """A TOML value where it is one; `backoff` or `< 5ms` without quotes are text."""
    try:
        parsed = parse_toml(f"value = {text}")
    except ValueError:
        return text
    return parsed["value"] if parsed.keys() == {"value"} else text


def _put(document: dict[str, Any], path: Path, value: Any, flag: str) -> None:
    node: Any = document
    for depth, part in enumerate(path[:-1]):
        fresh: Any = [] if _is_index(path[depth + 1]) else {}
        node = _child(node, part, fresh, path[: depth + 1], flag)
    if isinstance(node, dict):
        node[path[-1]] = value
    else:
        _child(node, path[-1], value, path, flag)
        node[int(path[-1])] = value


def _child(node: Any, part: str, fresh: Any, path: Path, flag: str) -> Any:
    """What `part` names within the node; `fresh` is put there if it names nothing yet."""
    if isinstance(node, dict):
        return node.setdefault(part, fresh)
    if not isinstance(node, list):
        raise UsageError(f"{flag}: {dotted(path)}: {unknown(path)}")
    if not _is_index(part) or int(part) > len(node):
        text = f"found index {found(part)}, expected a number from 0 to {len(node)}"
        raise UsageError(f"{flag}: {dotted(path)}: {text}")
    if int(part) == len(node):
        node.append(fresh)
    return node[int(part)]


def _is_index(part: str) -> bool:
    return part.isascii() and part.isdigit() and len(part) < 10
