"""The command line as a user has it: a subprocess in a folder of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def environment(tmp_path):
    """A home of its own, and the packages importable from anywhere."""
    return os.environ | {
        "HOME": str(tmp_path),
        "PYTHONPATH": str(REPOSITORY),
        "RAY_USAGE_STATS_ENABLED": "0",
        "COLUMNS": "100",
    }


@pytest.fixture
def gmemsim(tmp_path, environment):
    """Run `gmemsim WORDS` in an empty folder."""

    def call(*words, stdin=b""):
        command = [sys.executable, "-m", "workloads", *map(str, words)]
        return subprocess.run(
            command,
            cwd=tmp_path,
            env=environment,
            input=stdin,
            capture_output=True,
            timeout=100,
            check=False,
        )

    return call
