"""Which file may import what, held over the source text and over what a fresh process loads."""

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("actors", "cluster", "workloads", "dashboards")

# Who alone may import a library whose ways must stay behind one face.
IMPORTERS = {
    "ray": {"cluster/ray_partitions.py", "cluster/ray_pool.py", "cluster/ray_jobs.py"},
    "prometheus_client": {"cluster/exporter.py"},
    "grafana_api": {"dashboards/publisher.py"},
}

# Clocks, chance, files, sockets and threads: none of them may decide what an actor does.
BANNED_IN_ACTORS = {
    "asyncio",
    "datetime",
    "io",
    "logging",
    "os",
    "random",
    "secrets",
    "socket",
    "threading",
    "time",
}


def sources(package: str) -> Iterator[tuple[str, ast.Module]]:
    """Path below the root and syntax tree of each module of a package, in order of path."""
    for path in sorted((ROOT / package).rglob("*.py")):
        yield path.relative_to(ROOT).as_posix(), ast.parse(path.read_text())


def imported(tree: ast.Module) -> set[str]:
    """Every module that the tree imports, by its full dotted name, wherever in the file."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            assert node.module is not None
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


def top_level(tree: ast.Module) -> set[str]:
    return {name.partition(".")[0] for name in imported(tree)}


def loaded_after(code: str, cwd: Path) -> set[str]:
    """The top-level modules that a fresh process has loaded once it ran the code."""
    report = "\nimport sys\nprint('\\nLOADED', *sorted({m.partition('.')[0] for m in sys.modules}))"
    result = subprocess.run(
        [sys.executable, "-c", code + report],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"},
    )
    assert result.returncode == 0, result.stderr
    last = result.stdout.splitlines()[-1].split()
    assert last[0] == "LOADED", result.stdout
    return set(last[1:])


def test_the_import_finder_sees_every_form():
    tree = ast.parse("import ray.util as u\ndef f():\n    from cluster import metrics\n")
    assert imported(tree) == {"ray.util", "cluster", "cluster.metrics"}


@pytest.mark.parametrize("library", IMPORTERS)
def test_a_library_is_imported_only_by_its_own_files(library):
    found = {
        path
        for package in PACKAGES
        for path, tree in sources(package)
        if library in top_level(tree)
    }
    assert found <= IMPORTERS[library], f"{library} is imported by {sorted(found)}"


def test_ray_has_at_most_three_importers():
    assert len(IMPORTERS["ray"]) <= 3


def test_actors_import_the_standard_library_msgspec_and_themselves():
    allowed = (set(sys.stdlib_module_names) | {"msgspec", "actors"}) - BANNED_IN_ACTORS
    stray = {path: top_level(tree) - allowed for path, tree in sources("actors")}
    assert {path: names for path, names in stray.items() if names} == {}


@pytest.mark.parametrize(
    ("package", "forbidden"),
    [
        ("actors", {"cluster", "workloads", "dashboards"}),
        ("cluster", {"workloads", "dashboards"}),
        ("dashboards", {"actors", "workloads"}),
    ],
)
def test_imports_go_one_way(package, forbidden):
    stray = {path: top_level(tree) & forbidden for path, tree in sources(package)}
    assert {path: names for path, names in stray.items() if names} == {}


def test_dashboards_import_of_cluster_its_metrics_alone():
    for path, tree in sources("dashboards"):
        ours = {name for name in imported(tree) if name.startswith("cluster.")}
        stray = {name for name in ours if not f"{name}.".startswith("cluster.metrics.")}
        assert not stray, f"{path} imports {sorted(stray)}"


def test_importing_the_actors_loads_neither_ray_nor_a_banned_library():
    code = (
        "import importlib, pkgutil, actors\n"
        "for module in pkgutil.walk_packages(actors.__path__, 'actors.'):\n"
        "    importlib.import_module(module.name)"
    )
    loaded = loaded_after(code, ROOT)
    assert "actors" in loaded
    assert not loaded & {
        "ray",
        "click",
        "rich",
        "matplotlib",
        "numpy",
        "scipy",
        "prometheus_client",
    }


def test_help_loads_no_ray():
    code = (
        "import runpy, sys\n"
        "sys.argv = ['gmemsim', '--help']\n"
        "try:\n"
        "    runpy.run_module('workloads', run_name='__main__', alter_sys=True)\n"
        "except SystemExit as end:\n"
        "    assert not end.code, end.code"
    )
    loaded = loaded_after(code, ROOT)
    assert "workloads" in loaded
    assert not loaded & {"ray", "matplotlib", "numpy", "scipy", "grafana_api"}


def test_the_packages_are_importable_from_anywhere(tmp_path):
    loaded = loaded_after(f"import {', '.join(PACKAGES)}", tmp_path)
    assert set(PACKAGES) <= loaded
