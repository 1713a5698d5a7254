"""What holds for every test: no unit test starts Ray, and `--rewrite` renews golden transcripts."""

import importlib.util
import sys
from collections.abc import Iterator, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

import pytest

TESTS = Path(__file__).parent
MAY_START_RAY = {"ray", "cli", "prometheus", "determinism"}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Flags of our own."""
    text = "write tests/transcripts/data anew; commit only what you can explain"
    parser.addoption("--rewrite", action="store_true", help=text)


def refuse(*_: object, **__: object) -> NoReturn:
    """What a unit test finds in place of `ray.init`."""
    raise RuntimeError("a unit test starts Ray; tests that need it belong to tests/ray")


class Guard(MetaPathFinder, Loader):
    """Lets `ray` be imported as ever, but for its `init`. Ray itself is not imported for that."""

    def __init__(self) -> None:
        self.loader: Loader | None = None
        self.module: ModuleType | None = None
        self.real: Any = None

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name != "ray":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec:
            self.loader, spec.loader = spec.loader, self
        return spec

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        assert self.loader
        return self.loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        assert self.loader
        self.loader.exec_module(module)
        self.replace(module)

    def replace(self, module: ModuleType) -> None:
        """Take `init` away."""
        self.module, self.real = module, vars(module)["init"]
        vars(module)["init"] = refuse

    def close(self) -> None:
        """Give it back."""
        if self in sys.meta_path:
            sys.meta_path.remove(self)
        if self.module:
            vars(self.module)["init"] = self.real


@pytest.fixture(autouse=True)
def no_ray(request: pytest.FixtureRequest) -> Iterator[None]:
    """`ray.init` raises in every test outside the folders that are there to start Ray."""
    if MAY_START_RAY & set(request.path.relative_to(TESTS).parts[:1]):
        yield
        return
    guard = Guard()
    loaded = sys.modules.get("ray")
    if loaded:
        guard.replace(loaded)
    else:
        sys.meta_path.insert(0, guard)
    try:
        yield
    finally:
        guard.close()
