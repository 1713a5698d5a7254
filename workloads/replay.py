"""The scenario of a replay: what logs tell, flags say, and a scenario file fills in."""

from collections.abc import Sequence
from os.path import exists, realpath  # unlike Path's, no error for a path that no file can have
from pathlib import Path
from typing import Any

from cluster.faults import FAULT_POINTS
from workloads import scenario as scenarios
from workloads.errors import UsageError
from workloads.scenario import Given, Scenario
from workloads.scenario.source import parse_toml, read_source
from workloads.trace.spool import resolve
from workloads.units import format_duration
from workloads.wording import printable

HOSTS_MOST = 8  # unless --hosts says otherwise
FOREVER_NS = 1 << 61


def scenario_of(
    logs: Sequence[str], flags: dict[str, Any], overrides: Sequence[str | Given]
) -> Scenario:
    """The logs' VMs, --vms times over, dealt out to hosts in order."""
    if flags["rate"] is not None and flags["back_to_back"] is not None:
        raise UsageError("--rate and --back-to-back: give one of them")
    vms = len(logs) * flags["vms"]
    hosts = flags["hosts"] or min(vms, HOSTS_MOST)
    implied = {
        "scenario.duration": f'"{format_duration(FOREVER_NS)}"',
        "fleet.hosts": hosts,
        "fleet.vms_per_host": -(-vms // hosts),
        "fleet.vms": vms,
    }
    base = document(flags["scenario"], logs)
    texts: list[str | Given] = [Given(f"{key}={value}", "") for key, value in implied.items()]
    if flags["stagger"] is not None:
        texts.append(Given(f"fleet.stagger={flags['stagger']}", "--stagger"))
    texts += [*pace(flags), *overrides]
    where = printable(flags["scenario"] or name_of(logs))
    return scenarios.from_document(base, where, texts, FAULT_POINTS)


def document(source: str | None, logs: Sequence[str]) -> dict[str, Any]:
    """The scenario file, if any, with the logs as its only workload."""
    found: dict[str, Any] = {}
    if source:
        text, where = read_source(source)
        try:
            found = parse_toml(text)
        except ValueError as error:
            raise UsageError(f"{printable(where)}: not TOML: {error}") from None
    found["workload"] = [{"kind": "trace", "log": [absolute(log) for log in logs]}]
    return found


def absolute(log: str) -> str:
    """So that the resolved scenario can be run from any folder; shipped logs keep their names."""
    return log if log == "-" or not exists(log) else realpath(resolve(log))


def pace(flags: dict[str, Any]) -> list[Given]:
    """Keys of the trace workload that the flags decide."""
    if flags["rate"] is not None:
        value = f"workload.0.rate={flags['rate']}"
        return [Given("workload.0.pace=rate", ""), Given(value, "--rate")]
    if flags["back_to_back"] is not None:
        value = f"workload.0.outstanding={flags['back_to_back']}"
        return [Given("workload.0.pace=back-to-back", ""), Given(value, "--back-to-back")]
    return []


def name_of(logs: Sequence[str]) -> str:
    """The run is named after its first log."""
    return "stdin" if logs[0] == "-" else Path(logs[0]).name.split(".")[0]
