"""The set-up of quickstart and check on machines that lack something, held with stubs."""

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
BASE_PYTHON = getattr(sys, "_base_executable", sys.executable)
# What the scripts use of a POSIX system. No other command is on the PATH of these tests.
TOOLS = ("sh", "bash", "cat", "cksum", "dirname", "env", "readlink", "rm", "mkdir", "pwd", "true")

GOOD_PYTHON = f'exec "{BASE_PYTHON}" "$@"'
OLD_PYTHON = "echo '3.9.2 '"
# As on Debian without the package python3-venv: `venv` is there, `ensurepip` is not. Once
# apt-get has run, its stub leaves a mark, and the module is found.
PYTHON_WITHOUT_ENSUREPIP = f"""
case "$*" in
*"import ensurepip"*) [ -e "$MACHINE/python3-venv" ] || exit 1; exit 0 ;;
"-m venv"*) echo "made by the stub" >&2; exit 9 ;;
esac
exec "{BASE_PYTHON}" "$@"
"""
APT_GET = 'echo "$*" >>"$MACHINE/apt-get.log"; : >"$MACHINE/python3-venv"'


class Machine:
    """A checkout in a folder with a space, and a PATH that holds only what a test puts there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.checkout = folder / "a check out"
        self.bin = folder / "bin"
        self.bin.mkdir(parents=True)
        (self.checkout / "tools").mkdir(parents=True)
        for name in ("quickstart", "check", "tools/venv.sh", "pyproject.toml", "constraints.txt"):
            shutil.copy(ROOT / name, self.checkout / name)
        for name in TOOLS:
            found = shutil.which(name)
            assert found, f"this machine has no {name}"
            (self.bin / name).symlink_to(found)
        self.command("id", "echo 1000")

    def command(self, name: str, body: str) -> None:
        self.script(self.bin / name, body)

    def script(self, path: Path, body: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)

    def run(self, script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.checkout / script, *arguments],
            cwd=self.folder,
            env={"PATH": str(self.bin), "MACHINE": str(self.folder)},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    @property
    def apt_get_log(self) -> str:
        path = self.folder / "apt-get.log"
        return path.read_text() if path.exists() else ""


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


@pytest.mark.parametrize("script", ["quickstart", "check"])
def test_an_old_python_is_refused_in_one_line(machine, script):
    machine.command("python3", OLD_PYTHON)
    result = machine.run(script)
    assert result.returncode == 2
    assert result.stderr == (
        "gmemsim: found: python3 is 3.9.2; needed: Python 3.11 or newer with its venv module\n"
    )
    assert not (machine.checkout / ".venv").exists()


def test_no_python_at_all_is_refused_in_one_line(machine):
    result = machine.run("quickstart")
    assert result.returncode == 2
    assert result.stderr.startswith("gmemsim: found: no Python 3 on PATH; needed: Python 3.11")
    assert result.stderr.count("\n") == 1


def test_a_shim_that_does_not_run_is_passed_over(machine):
    machine.command("python3", "echo 'python3: command not found' >&2; exit 127")
    machine.command("python3.11", OLD_PYTHON)
    result = machine.run("quickstart")
    assert "found: python3.11 is 3.9.2;" in result.stderr


def test_a_newer_python_is_found_behind_an_old_one(machine):
    machine.command("python3", OLD_PYTHON)
    machine.command("python3.12", PYTHON_WITHOUT_ENSUREPIP)
    (machine.folder / "python3-venv").touch()
    result = machine.run("quickstart")
    assert "with python3.12\n" in result.stderr
    assert "made by the stub" in result.stderr


@pytest.mark.parametrize("script", ["quickstart", "check"])
def test_without_ensurepip_a_user_is_told_what_to_install(machine, script):
    machine.command("python3", PYTHON_WITHOUT_ENSUREPIP)
    machine.command("apt-get", APT_GET)
    result = machine.run(script)
    assert result.returncode == 2
    assert result.stderr == (
        "gmemsim: python3 cannot make virtual environments (no ensurepip): install python3-venv\n"
    )
    assert machine.apt_get_log == ""


@pytest.mark.parametrize("way", ["root", "sudo"])
def test_without_ensurepip_the_package_is_installed_where_that_is_allowed(machine, way):
    machine.command("python3", PYTHON_WITHOUT_ENSUREPIP)
    machine.command("apt-get", APT_GET)
    if way == "root":
        machine.command("id", "echo 0")
    else:
        machine.command("sudo", 'shift; exec "$@"')
    result = machine.run("quickstart")
    assert machine.apt_get_log == (
        "-qq update\n-qq -y --no-install-recommends install python3-venv\n"
    )
    assert "made by the stub" in result.stderr, "the environment is made next"
    assert result.returncode == 2


class TestReuse:
    """With an environment of stubs in place: what is run again, and what is left alone."""

    VENV_PYTHON = """
case "$*" in
*version.split*) echo "${FAKE_VERSION:-3.11.7}" ;;
*"pip --disable"*) echo "$*" >>"$MACHINE/pip.log"; exit "$(cat "$MACHINE/pip.status")" ;;
esac
"""
    MAKING_PYTHON = """
case "$*" in
*prefix*) echo "3.11.7 " ;;
"-m venv --clear"*) rm -rf "$4"; mkdir "$4" "$4/bin"; cat "$MACHINE/venv-python" >"$4/bin/python"
    /bin/chmod +x "$4/bin/python"; cat "$MACHINE/gmemsim" >"$4/bin/gmemsim"
    /bin/chmod +x "$4/bin/gmemsim"; echo made >>"$MACHINE/venv.log" ;;
esac
"""

    @pytest.fixture
    def machine(self, tmp_path):
        machine = Machine(tmp_path)
        machine.command("python3", self.MAKING_PYTHON)
        machine.script(tmp_path / "venv-python", self.VENV_PYTHON)
        machine.script(tmp_path / "gmemsim", 'echo "gmemsim $* in $PWD"')
        self.pip_exits(machine, 0)
        return machine

    @staticmethod
    def pip_exits(machine: Machine, status: int) -> None:
        (machine.folder / "pip.status").write_text(str(status))

    @staticmethod
    def counts(machine: Machine) -> tuple[int, int]:
        """How many environments were made, and how often pip ran."""
        logs = (machine.folder / "venv.log", machine.folder / "pip.log")
        made, pip = (log.read_text().count("\n") if log.exists() else 0 for log in logs)
        return made, pip

    def test_the_scenario_runs_in_the_folder_of_the_caller(self, machine):
        result = machine.run("quickstart", "--set", "fleet.hosts=2")
        assert result.returncode == 0, result.stderr
        expected = f"run quickstart --executor ray --set fleet.hosts=2 in {machine.folder}"
        assert result.stdout == f"gmemsim {expected}\n"
        assert (
            "--constraint constraints.txt --editable .\n"
            in (machine.folder / "pip.log").read_text()
        )

    def test_a_second_run_installs_nothing(self, machine):
        machine.run("quickstart")
        result = machine.run("quickstart")
        assert (result.returncode, result.stderr) == (0, "")
        assert self.counts(machine) == (1, 1)

    def test_changed_constraints_are_installed_into_the_same_environment(self, machine):
        machine.run("quickstart")
        with (machine.checkout / "constraints.txt").open("a") as constraints:
            constraints.write("# changed\n")
        machine.run("quickstart")
        assert self.counts(machine) == (1, 2)

    def test_an_install_that_was_cut_short_starts_over(self, machine):
        self.pip_exits(machine, 1)
        result = machine.run("quickstart")
        assert result.returncode == 2
        assert result.stderr.endswith("pip could not install gmemsim; its message is above\n")
        self.pip_exits(machine, 0)
        assert machine.run("quickstart").returncode == 0
        assert self.counts(machine) == (2, 2)

    def test_an_environment_whose_python_is_gone_is_made_again(self, machine):
        machine.run("quickstart")
        (machine.checkout / ".venv" / "bin" / "python").unlink()
        assert machine.run("quickstart").returncode == 0
        assert self.counts(machine) == (2, 2)

    def test_a_checkout_that_moved_makes_its_environment_again(self, machine):
        machine.run("quickstart")
        machine.checkout = machine.checkout.rename(machine.folder / "moved")
        assert machine.run("quickstart").returncode == 0
        assert self.counts(machine) == (2, 2)


def summarise(folder: Path, ci: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, ROOT / "tools" / "summarise_tests.py", folder],
        env={**os.environ, "CI": ci},
        capture_output=True,
        text=True,
        check=False,
    )


def layer(folder: Path, name: str, status: int, *cases: str) -> None:
    """Write what `check` would have noted of one layer of tests."""
    with (folder / "steps").open("a") as steps:
        steps.write(f"tests\t{name}\t3\t{status}\n")
    (folder / f"{name}.xml").write_text(f"<testsuites>{''.join(cases)}</testsuites>")


PASS = '<testcase classname="t" name="a"/>'
FAIL = '<testcase classname="t" name="b"><failure message="no"/></testcase>'
NEEDS = (
    '<testcase classname="t" name="c"><skipped message="needs promtool (prometheus)"/></testcase>'
)


def test_the_last_line_sums_the_layers(tmp_path):
    layer(tmp_path, "unit", 1, PASS, PASS, FAIL)
    layer(tmp_path, "cli", 0, PASS, NEEDS)
    result = summarise(tmp_path)
    assert result.stdout.splitlines()[-1] == "3 passed, 1 failed, 1 skipped"
    assert result.returncode == 1


def test_an_empty_layer_is_no_failure_but_an_empty_sum_is(tmp_path):
    layer(tmp_path, "ray", 5)
    assert summarise(tmp_path).returncode == 1
    layer(tmp_path, "unit", 0, PASS)
    assert summarise(tmp_path).returncode == 0


def test_a_layer_that_breaks_without_a_failed_test_counts_as_one(tmp_path):
    layer(tmp_path, "unit", 0, PASS)
    layer(tmp_path, "cli", 3)
    assert summarise(tmp_path).stdout.splitlines()[-1] == "1 passed, 1 failed, 0 skipped"


def test_a_skip_for_want_of_a_package_is_named_and_fails_in_ci(tmp_path):
    layer(tmp_path, "prometheus", 0, PASS, NEEDS)
    result = summarise(tmp_path)
    assert "skipped: t.c: needs promtool (prometheus)\n" in result.stdout
    assert result.returncode == 0
    assert summarise(tmp_path, ci="true").returncode == 1


def test_a_failed_tool_fails_the_check(tmp_path):
    layer(tmp_path, "unit", 0, PASS)
    with (tmp_path / "steps").open("a") as steps:
        steps.write("style\tmypy\t9\t1\n")
    result = summarise(tmp_path)
    assert "failed: mypy\n" in result.stdout
    assert result.returncode == 1
