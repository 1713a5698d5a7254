"""Which code this is: what it left can be gone on with, or reused, by the same code alone."""

import hashlib
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# What decides a run's figures: all sources and data but those that only choose scenarios and conclude from figures.
PACKAGES = ("actors", "cluster", "workloads")
SOURCES = (".py", ".toml", ".log", ".gz")
NO_PART = (
    "workloads/experiment/",
    "workloads/experiments/",
    "workloads/scenarios/",
    "workloads/outcome/sweep_",
)


@cache
def code_version() -> str:
    """A hash of the sources and data that are gmemsim, as they are on disk."""
    found = hashlib.blake2b(digest_size=16)
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*")):
            name = path.relative_to(ROOT).as_posix()
            if path.suffix in SOURCES and not name.startswith(NO_PART):
                found.update(f"{name}\0".encode() + path.read_bytes() + b"\0")
    return found.hexdigest()
