"""`gmemsim explore`: what is printed, its exit status, and that a counterexample can be shown again."""

import json

ONE = ("--set", 'workload=[{kind="script",lanes=["share 0B+4KiB"]}]')
LISTED = ("--set", 'fault=[{point="gmem.work"}]')


def test_json_has_what_scripts_rely_on(gmemsim):
    done = gmemsim("explore", "smallest", *ONE, "--faults", "0", "--json")
    found = json.loads(done.stdout)
    assert (done.returncode, found["verdict"], found["whole"]) == (0, "valid", True)
    assert found["generated"] > found["distinct"] > found["depth"] > 20
    for each in found["properties"]:
        assert each.keys() >= {"name", "kind", "verdict", "trace"}
    assert {each["kind"] for each in found["properties"]} == {"always", "sometimes", "eventually"}
    met = next(e for e in found["properties"] if e["name"] == "a conversion to shared succeeds")
    assert met["trace"]["moves"] == len(met["trace"]["transcript"])


def test_a_counterexample_is_told_and_can_be_shown_again(gmemsim):
    done = gmemsim("explore", "smallest", "--protocol", "undo", *ONE, *LISTED)
    text = done.stdout.decode()
    assert done.returncode == 1
    assert text.startswith("VIOLATED  smallest, protocol undo, judged by two-phase\n")
    assert "BREACH; undo's own row admits it" in text
    replay = text.splitlines()[-1]
    assert replay.startswith("replay: gmemsim explore smallest --protocol undo --set ")
    choices = replay.rpartition(" ")[2]
    again = gmemsim(
        "explore", "smallest", "--protocol", "undo", *ONE, *LISTED, "--choices", choices
    )
    assert again.returncode == 0
    shown = again.stdout.decode().splitlines()
    assert "INJECTED gmem.work" in again.stdout.decode()
    told = [line for line in text.splitlines() if " -> " in line]
    assert shown[: len(told)] == told


def test_several_protocols_are_one_table_and_the_worst_verdict(gmemsim):
    words = ("explore", "smallest", *ONE, *LISTED, "--protocol", "two-phase,undo")
    done = gmemsim(*words)
    text = done.stdout.decode()
    assert done.returncode == 1
    assert text.startswith("VIOLATED  smallest, 2 protocols, judged by two-phase\n")
    rows = [line.split() for line in text.splitlines() if line.startswith(("  undo", "  two-"))]
    assert [row[:2] for row in rows] == [["undo", "violated"], ["two-phase", "valid"]]
    assert "I22!, AN19! (6)" in text
    found = json.loads(gmemsim(*words, "--json").stdout)
    assert found["verdict"] == "violated"
    assert {name: one["verdict"] for name, one in found["protocols"].items()} == {
        "undo": "violated", "two-phase": "valid",
    }  # fmt: skip


def test_a_reduction_is_said_and_the_counterexample_is_the_shortest_all_the_same(gmemsim):
    words = ("explore", "smallest", *ONE, "--set", 'fault=[{point="tdx.bug"}]')
    fewer, every = (
        json.loads(gmemsim(*words, "--protocol", "in-place", "--json", "--reduction", each).stdout)
        for each in ("orders", "none")
    )
    assert (fewer["reduction"], every["reduction"]) == ("orders", "none")
    assert 2 * fewer["distinct"] < every["distinct"]
    shortest = [
        min(each["trace"]["moves"] for each in found["properties"] if each["verdict"] == "violated")
        for found in (fewer, every)
    ]
    assert shortest[0] == shortest[1]


def test_a_limit_is_unknown(gmemsim):
    done = gmemsim("explore", "smallest", "--states", "100")
    assert done.returncode == 3
    assert done.stdout.decode().startswith("UNKNOWN  smallest")
    assert "the limit of states was reached" in done.stdout.decode()


def test_a_small_graph_is_drawn_and_a_large_one_refused(gmemsim, tmp_path):
    words = ("explore", "smallest", *ONE, "--faults", "0", "--quiet")
    large = gmemsim(*words, "--reduction", "none", "--draw", "graph.svg")
    assert large.returncode == 2
    assert large.stderr.decode().startswith("gmemsim: --draw: found ")
    assert not (tmp_path / "graph.svg").exists()
    small = gmemsim(*words, "--depth", "12", "--draw", "graph.svg")
    assert small.returncode == 3
    text = (tmp_path / "graph.svg").read_text()
    assert text.startswith("<svg ") and text.endswith("</svg>\n")
    assert text.count("<circle") == text.count("<title>") > 12


def test_mistakes_are_one_line(gmemsim):
    for words, told in (
        (("explore", "quickstart"), 'workload.0.kind: found "trace"'),
        (("explore", "smallest", "--choices", "1,x"), '--choices: found "1,x", expected numbers'),
        (("explore", "smallest", "--choices", "99"), "--choices: "),
        (("explore", "smallest", "--protocol", "undone"), "protocol"),
        (
            ("explore", "smallest", "--protocol", "all", "--choices", "1"),
            "--choices: found 8 protocols, expected one with it",
        ),
        (("explore", "fleet-arrivals"), "arrivals.kind: "),
        (("explore", "smallest", "--set", 'fault=[{point="tdx.bug",nth=2}]'), "fault.0.nth: "),
        (
            ("explore", "smallest", "--set", 'workload=[{kind="script",lanes=["steal 0B+4KiB"]}]'),
            "workload.0.lanes.0: found",
        ),
        (
            ("explore", "smallest", "--set", 'workload=[{kind="script",lanes=["use 2MiB+4KiB"]}]'),
            "workload.0.lanes.0: found",
        ),
    ):
        done = gmemsim(*words)
        text = done.stderr.decode()
        assert done.returncode == 2, words
        assert text.count("\n") == 1 and told in text, text


def test_a_script_runs_in_a_simulation_as_well(gmemsim):
    done = gmemsim("run", "smallest", "--set", "fault=[]", "--json")
    found = json.loads(done.stdout)
    assert (done.returncode, found["conversions"]["completed"]) == (0, 2)


def test_a_counterexample_is_saved_as_a_scenario_with_its_command(gmemsim, tmp_path):
    path = tmp_path / "found.toml"
    done = gmemsim("explore", "smallest", "--protocol", "undo", *ONE, *LISTED, "--save", path)
    command = path.read_text().splitlines()[1].removeprefix("# gmemsim ").split()
    again = gmemsim(*command)
    assert (again.returncode, command[:2]) == (0, ["explore", str(path)])
    told = [line for line in done.stdout.decode().splitlines() if " -> " in line]
    shown = again.stdout.decode().splitlines()[: len(told)]
    assert shown == told and "=> " in shown[-1]
