"""`dashboards publish --result` on a run as gmemsim writes it."""

import json

from dashboards.marks import TAG
from tests.dashboards.contract import TOKEN, Server, serving
from tests.workloads.small_runs import FAULTS
from workloads import monitoring, scenario
from workloads.execute import Settings, execute

# A protocol that a bug of the module leaves with unanswered requests.
SMALL = (
    "scenario.conversions=60", "fleet.hosts=1", "fleet.vms_per_host=2", "protocol.name=undo", FAULTS,
)  # fmt: skip


def test_a_run_is_marked_once(tmp_path, monkeypatch, capsys):
    execute(scenario.decode("", "one.toml", SMALL), Settings(results=str(tmp_path), quiet=True))
    latest = tmp_path / "one" / "latest"
    summary = json.loads((latest / "summary.json").read_text())
    (struck,) = [rule for rule in summary["faults"] if rule["struck"]]
    assert summary["invariant_violations"]
    monkeypatch.setenv(monitoring.TOKEN, TOKEN)
    server = Server()
    with serving(server) as url:

        def deeds(dry=False):
            capsys.readouterr()
            monitoring.publish(url, None, "http://127.0.0.1:9090", dry, str(latest))
            lines = capsys.readouterr().out.splitlines()
            return [line.split()[0] for line in lines if " annotation " in line]

        expected = 3 + len(summary["invariant_violations"])
        assert deeds(dry=True) == ["created"] * expected
        assert not server.annotations
        assert deeds() == ["created"] * expected
        assert deeds() == ["unchanged"] * expected
    assert not server.broken
    start, end, fault, violation = server.annotations[:4]
    assert end["time"] - start["time"] == round(1000 * summary["engine"]["wall_seconds"])
    assert end["text"].endswith(f"ends: {summary['verdict']}")
    assert fault["text"] == f"fault tdx.bug struck {struck['struck']} of {struck['opportunities']}"
    name, times = next(iter(summary["invariant_violations"].items()))
    assert violation["text"] == f"{name} violated {times} times"
    run_id = f"one/{latest.resolve().name}"
    assert [mark["tags"] for mark in (start, fault)] == [
        [TAG, run_id, "start"], [TAG, run_id, "fault"]
    ]  # fmt: skip
