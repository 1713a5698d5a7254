"""The tree itself: nothing of one machine in it, nothing banned, no module without a head."""

import ast
import gzip
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
COLUMNS_MAX = 120

# Put together from parts, or this file would be its own first finding.
MACHINE_PATH = re.compile(r"(?<![\w.~-])/(?:" + "|".join(["work", "root", r"home/\w+"]) + r")/")
PACKAGE_HOSTS = [
    ".".join(parts)
    for parts in (
        ("pypi", "org"),
        ("files", "pythonhosted", "org"),
        ("deb", "debian", "org"),
        ("registry", "npmjs", "org"),
    )
]
NOT_OURS = {".git", ".venv", "results", "dist", "build", "__pycache__"}

# Calls that would let a run depend on something other than its scenario and seed.
BANNED_CALLS = {
    "random.": "draw through context.cost or context.choose",
    "secrets.": "draw through context.cost or context.choose",
    "uuid.": "name things by their place in the fleet",
    "os.urandom": "draw through context.cost or context.choose",
    "time.time": "simulated time is context.now; spans of wall time are time.perf_counter",
    "time.sleep": "nothing in the simulation waits",
    "datetime.now": "simulated time is context.now",
    "datetime.datetime.now": "simulated time is context.now",
    "datetime.utcnow": "simulated time is context.now",
    "hash": "it differs between processes and versions of Python; use blake2b",
    "pickle.": "what comes from a file or the network is never unpickled",
    "eval": "no text is ever run",
    "exec": "no text is ever run",
    "breakpoint": "left over from a search",
}
# Where the wall clock or a wait is the point: the edge to Ray and to Prometheus. Checkpoints are read by an unpickler
# that resolves our own classes alone.
CALLS_ALLOWED = {
    ("cluster/checkpoint.py", "pickle.dumps"),
    ("cluster/checkpoint.py", "pickle.UnpicklingError"),
    ("cluster/exporter.py", "time.time"),
    ("cluster/exporter.py", "time.sleep"),
    ("cluster/pace.py", "time.sleep"),
    ("cluster/ray_jobs.py", "time.time"),
    ("cluster/ray_jobs.py", "time.sleep"),
}


def tracked() -> list[Path]:
    """Every file of the project: those git knows or would add, else all but what is built."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listing.returncode == 0 and listing.stdout:
        names = [ROOT / name for name in listing.stdout.split("\0") if name]
    else:
        names = [p for p in ROOT.rglob("*") if not NOT_OURS & set(p.relative_to(ROOT).parts)]
    return sorted(path for path in names if path.is_file())


def python_files(*folders: str) -> list[Path]:
    roots = [ROOT / folder for folder in folders]
    return [
        path
        for path in tracked()
        if path.suffix == ".py" and (not roots or any(path.is_relative_to(r) for r in roots))
    ]


def content(path: Path) -> str:
    data = path.read_bytes()
    if path.suffix == ".gz":
        data = gzip.decompress(data)
    return data.decode("utf-8", errors="replace")


def where(path: Path, line: int) -> str:
    return f"{path.relative_to(ROOT)}:{line}"


def dotted(node: ast.expr) -> str:
    """`a.b.c` for a chain of names, else nothing."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        head = dotted(node.value)
        return f"{head}.{node.attr}" if head else ""
    return ""


def banned_calls(tree: ast.Module) -> Iterator[tuple[int, str, str]]:
    """Line, call and what to do instead, for each banned call; imported names count as well."""
    origin: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            origin |= {a.asname or a.name: f"{node.module}.{a.name}" for a in node.names}
        elif isinstance(node, ast.Import):
            origin |= {a.asname: a.name for a in node.names if a.asname}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            first, dot, rest = dotted(node.func).partition(".")
            call = origin.get(first, first) + dot + rest
            for banned, instead in BANNED_CALLS.items():
                if call == banned or (banned.endswith(".") and call.startswith(banned)):
                    yield node.lineno, call, instead


def test_the_tree_is_seen():
    names = {path.relative_to(ROOT).as_posix() for path in tracked()}
    assert {"pyproject.toml", "check", "quickstart", "actors/__init__.py"} <= names


@pytest.mark.parametrize("text", ["/" + "work/x", "see /" + "root/.cache", "'/" + "home/ada/x'"])
def test_a_machine_path_is_recognised(text):
    assert MACHINE_PATH.search(text)


@pytest.mark.parametrize("text", ["tests/work/x", "fault.root/", "/homes/x", "~/work/x"])
def test_other_paths_are_not(text):
    assert not MACHINE_PATH.search(text)


def test_no_file_names_a_path_of_one_machine():
    found = [
        where(path, number)
        for path in tracked()
        for number, line in enumerate(content(path).splitlines(), 1)
        if MACHINE_PATH.search(line)
    ]
    assert found == []


def test_no_file_names_a_package_host():
    found = [
        f"{path.relative_to(ROOT)}: {host}"
        for path in tracked()
        for host in PACKAGE_HOSTS
        if host in content(path)
    ]
    assert found == []


def test_no_python_line_is_too_long():
    found = [
        where(path, number)
        for path in python_files()
        for number, line in enumerate(content(path).splitlines(), 1)
        if len(line) > COLUMNS_MAX
    ]
    assert found == []


def test_every_module_has_a_docstring():
    found = [
        str(path.relative_to(ROOT))
        for path in python_files()
        if not ast.get_docstring(ast.parse(content(path)))
    ]
    assert found == []


def test_a_banned_call_is_recognised_by_any_name():
    tree = ast.parse("from time import time as t\nimport random as r\nt(); r.random(); hash(1)")
    assert [call for _, call, _ in banned_calls(tree)] == ["time.time", "random.random", "hash"]


def test_no_banned_call_in_actors_and_cluster():
    found = [
        f"{where(path, line)}: {call}: {instead}"
        for path in python_files("actors", "cluster")
        for line, call, instead in banned_calls(ast.parse(content(path)))
        if (path.relative_to(ROOT).as_posix(), call) not in CALLS_ALLOWED
    ]
    assert found == []


def test_scripts_are_executable_and_say_what_runs_them():
    for name in ("check", "quickstart", ".ci/run"):
        path = ROOT / name
        assert path.stat().st_mode & 0o111, f"{name} is not executable"
        assert content(path).startswith("#!"), f"{name} names no interpreter"
