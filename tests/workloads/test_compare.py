"""Protocols side by side: the same load, one record, one table, one page; what is not of equals is said."""

import io
import json
import re
from pathlib import Path

import msgspec
import pytest

from tests.toy_protocols import LIAR, TWIN, registered
from tests.workloads.small_runs import decode
from workloads.compare import chosen, compare
from workloads.errors import UsageError
from workloads.outcome.compare_report import render
from workloads.outcome.compare_rows import FIGURES, rows
from workloads.outcome.compare_terminal import Folded, broken, heads, show_comparison
from workloads.outcome.comparison import reasons
from workloads.outcome.figures import duration
from workloads.outcome.history import history_text
from workloads.outcome.read import read_comparison, read_summary
from workloads.outcome.report import rebuild
from workloads.outcome.shape import Comparison
from workloads.scenario import load
from workloads.session import Session, Settings

NAMES = ["two-phase", "twin", "liar"]
LOAD = (
    'workload=[{kind="churn",pace="open",rate=300,touch=0}]',
    "scenario.duration=300ms",
    "vm.memory=64MiB",
    "fleet.hosts=2",
    "fleet.vms_per_host=2",
    "vm.guest_retries=0",  # what a guest asks for again would be one request more
    'fault=[{point="tdx.bug",probability=0.003},{point="pins.long",probability=0.1}]',
)


@pytest.fixture(scope="module", autouse=True)
def toys():
    with registered(TWIN, LIAR):
        yield


def run(base, *overrides, names=NAMES, seeds=1, limit=None):
    """(exit status, folder, record)."""
    settings = Settings(str(base), seeds=seeds, quiet=True, time_limit=limit)
    status = compare(decode(*LOAD, *overrides), names, settings)
    latest = base / "small" / "latest"
    return status, latest, read_comparison(latest / "compare.json")


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    return run(tmp_path_factory.mktemp("one"))


@pytest.fixture(scope="module")
def two_seeds(tmp_path_factory):
    return run(tmp_path_factory.mktemp("two"), seeds=2)


def printed(record, width=0):
    """As in a terminal of this width; without one, as in a pipe."""

    class Terminal(io.StringIO):
        def isatty(self):
            return bool(width)

    stream = Terminal()
    show_comparison(record, Path("results/small/20261123T031500Z-1"), stream)
    return re.sub(r"\x1b\[[0-9;]*m", "", stream.getvalue())


def table(record):
    return {row.label.strip(): [cell.text for cell in row.cells] for row in rows(record)}


# --- which protocols -----------------------------------------------------------------------------


def test_all_are_compared_unless_some_are_named():
    assert {*NAMES} <= {*chosen(())}
    assert chosen(("liar", "two-phase")) == ["two-phase", "liar"]
    assert chosen(("liar, two-phase", "twin")) == NAMES


def test_an_unknown_protocol_is_named_with_the_nearest():
    with pytest.raises(UsageError, match=r'found "two-fase".*two-phase'):
        chosen(("liar,two-fase",))


def test_a_protocol_that_is_named_twice_is_refused():
    with pytest.raises(UsageError, match=r"^--protocol: found liar twice, expected each .* once$"):
        chosen(("liar,two-phase", "liar"))


def test_a_comparison_s_folder_has_no_metrics_but_names_the_folders_that_have(one):
    latest = one[1]
    runs = ", ".join(f"{latest}/{name}" for name in sorted(NAMES))
    for read in (history_text, read_summary):
        with pytest.raises(UsageError) as error:
            read(str(latest))
        assert str(error.value) == f"{latest}: of a comparison; expected one of its runs: {runs}"
    assert history_text(f"{latest}/liar").endswith("# EOF\n")


# --- what is compared ----------------------------------------------------------------------------


def test_every_protocol_has_the_same_load(one):
    _, _, record = one
    asked = [s["conversions"]["requested"] for s in record["protocols"].values()]
    assert asked[0] == asked[1] == asked[2] == pytest.approx(4 * 300 * 0.3, rel=0.02)


def test_a_protocol_by_another_name_meets_the_same_fate(one):
    _, _, record = one
    told = [{**record["protocols"][name]} for name in ("two-phase", "twin")]
    for summary in told:
        for key in ("protocol", "parameters", "verdict", "reasons", "engine", "digest"):
            del summary[key]
        summary.pop("counterexample", None)  # what one admits is a violation of the other
    assert told[0] == told[1]
    assert told[0]["vms_lost"] > 0


def test_what_a_protocol_admits_is_told_from_what_it_does_not(one):
    status, _, record = one
    lost = table(record)["AN15"]
    assert re.fullmatch(r"\d+", lost[0]) and lost[1] == f"! {lost[0]}"
    assert table(record)["AN19"][:2] == ["-", "-"] and table(record)["AN19"][2].startswith("! ")
    assert table(record)["verdict"] == ["valid", "violated", "violated"]
    assert (status, record["verdict"]) == (1, "violated")


def test_a_protocol_that_only_shows_what_it_admits_is_valid(tmp_path):
    status, _, record = run(tmp_path, names=["two-phase"])
    assert record["protocols"]["two-phase"]["anomalies"]["AN15"] > 0
    assert (status, record["verdict"]) == (0, "valid")


def test_every_figure_is_the_summary_s(one):
    _, _, record = one
    summary = record["protocols"]["two-phase"]
    cells = {label: texts[0] for label, texts in table(record).items()}
    assert cells["completed"] == f"{summary['conversions']['completed']:,}"
    assert cells["guests killed"] == str(summary["vms_lost"])
    assert cells["huge maps lost"] == str(summary["memory"]["huge_mappings_lost"])
    assert cells["no-fail failed"] == str(summary["no_fail_failures"]) == "0"
    assert cells["at dead VMs"] == str(summary["conversions"]["at_dead_vms"]) != "0"
    assert "unfinished" not in cells


def test_rules_of_the_fault_plan_have_a_row_each(one):
    _, latest, record = one
    found = table(record)
    for rule, point in enumerate(("tdx.bug", "pins.long")):
        rows_ = [summary["faults"][rule] for summary in record["protocols"].values()]
        cells = [f"{row['struck']:,}" if row["opportunities"] else "-" for row in rows_]
        assert found[f"fault.{rule}"] == cells
        assert rows_[0]["struck"] == rows_[1]["struck"] > 0
        assert re.search(
            rf"^fault\.{rule} +{point}, probability = 0\.", printed(record), re.MULTILINE
        )
        assert f"fault.{rule}" in (latest / "report.html").read_text()


def test_a_rule_that_met_nothing_is_told_from_one_that_did_not_strike(one):
    def with_counts(summary, met):
        row = {**summary["faults"][0], "struck": 0, "opportunities": met}
        return {**summary, "faults": [row, summary["faults"][1]]}

    protocols = one[2]["protocols"]
    record = {
        **one[2],
        "protocols": {name: with_counts(protocols[name], n) for n, name in enumerate(NAMES)},
    }
    assert table(record)["fault.0"] == ["-", "0", "0"]
    older = {name: {**s, "faults": []} for name, s in protocols.items()}
    assert " of 0" not in printed({**one[2], "protocols": older})


def test_what_an_older_summary_lacks_is_not_called_none_of_it(one):
    older = {name: dict(summary) for name, summary in one[2]["protocols"].items()}
    for summary in older.values():
        del summary["vms_lost"], summary["faults"]
    record = {**one[2], "protocols": older}
    assert table(record)["guests killed"] == ["-"] * 3
    assert "faults struck" not in table(record)


# --- files ---------------------------------------------------------------------------------------


def test_each_protocol_s_folder_is_a_run_s(one):
    _, latest, record = one
    for name in NAMES:
        assert read_summary(latest / name) == record["protocols"][name]
        assert {path.name for path in (latest / name).iterdir()} >= {"scenario.toml", "latency.csv"}
    assert load(str(latest / "two-phase" / "scenario.toml")) == decode(*LOAD)
    assert not list(latest.glob("*/latest"))


def test_the_record_is_of_the_layout(one, two_seeds):
    for _, _, record in (one, two_seeds):
        msgspec.convert(json.loads(json.dumps(record)), Comparison)


def test_the_page_is_made_again_from_the_record_and_what_was_found(one, tmp_path):
    _, latest, _ = one
    for path in (latest / "compare.json", *latest.glob("*/anomalies.jsonl")):
        copy = tmp_path / path.relative_to(latest)
        copy.parent.mkdir(exist_ok=True)
        copy.write_bytes(path.read_bytes())
    rebuild(tmp_path)
    assert (tmp_path / "report.html").read_text() == (latest / "report.html").read_text()


def test_the_page_is_whole_and_needs_no_network(one, two_seeds):
    for _, latest, _ in (one, two_seeds):
        text = (latest / "report.html").read_text()
        assert text.count("<svg") == 3 and text.endswith("</html>\n")
        assert not re.search(r"(src|href)=\"(?!#)(?!(two-phase|twin|liar)/report\.html)", text)
        assert "http" not in text.replace("http-equiv", "")
        assert "None" not in text and "nan" not in text


# --- seeds ---------------------------------------------------------------------------------------


def test_figures_of_several_seeds_have_intervals(two_seeds):
    _, latest, record = two_seeds
    assert [run["seed"] for run in record["seeds"]["protocols"]["liar"]["runs"]] == [1, 2]
    assert re.fullmatch(r"[\d.]+ \(0 to [\d.]+\)", table(record)["guests killed"][0])
    assert printed(record).startswith("VIOLATED  small, 3 protocols, 2 seeds from 1")
    assert read_summary(latest / "twin" / "seed-2")["seed"] == 2


def test_what_few_seeds_show_is_told_by_their_number(two_seeds):
    record = json.loads(json.dumps(two_seeds[2]))
    figures = record["seeds"]["protocols"]["two-phase"]["figures"]
    figures["anomalies"]["AN15"] = {"mean": 0.5, "low": -5.9, "high": 6.9, "seen": 1, "runs": 2}
    assert table(record)["AN15"][0] == "1 of 2"
    assert "1 of 5: seen in so many" in printed(record)


def test_the_first_seed_is_a_run_of_its_own(one, two_seeds):
    first = [record["protocols"]["two-phase"]["digest"] for _, _, record in (one, two_seeds)]
    assert first[0] == first[1]
    runs = two_seeds[2]["seeds"]["protocols"]["two-phase"]["runs"]
    assert len({run["digest"] for run in runs}) == 2


def test_one_seed_is_called_an_anecdote(one, two_seeds):
    assert "anecdote" in printed(one[2])
    assert "anecdote" not in printed(two_seeds[2])
    assert "95% interval" in printed(two_seeds[2])


# --- what is said beside the table ---------------------------------------------------------------


def test_a_closed_loop_is_called_one(one, tmp_path):
    assert "closed loop" not in printed(one[2])
    _, latest, record = run(
        tmp_path, 'workload=[{kind="churn"}]', "scenario.conversions=100", names=["two-phase"]
    )
    assert "closed loop" in printed(record).replace("\n", " ")
    assert "workload.0 (churn)" in (latest / "report.html").read_text()


def test_an_adjustment_is_told_with_what_it_changes(one):
    changed = {"vm.page_order": {"was": "9", "now": "0"}}
    record = {**one[2], "adjustments": {"twin": changed}}
    text = printed(record)
    assert "twin*" in text and "* twin ran with vm.page_order = 0 (not 9)" in text
    assert heads(record) == [["two-phase"], ["twin*"], ["liar"]]
    page = render(record, {})
    assert ">twin*</th>" in page and "* twin ran with vm.page_order = 0 (not 9)" in page
    assert ">liar*</th>" not in page


def test_every_short_name_and_id_is_explained(one):
    text = printed(one[2])
    for name in ("at dead VMs", "no-fail failed", "!"):
        assert re.search(rf"^{re.escape(name)} +\w{{4,}}", text, re.MULTILINE), name
    for lines in (r"  AN15 huge.*\n    mapping lost", r"  AN19 success.*\n    reported,"):
        assert re.search(f"^{lines}", text, re.MULTILINE), lines


def test_the_page_tells_what_an_id_means_where_it_stands_and_how_it_came_about(one):
    page = (one[1] / "report.html").read_text()
    assert '<th scope="row">AN15 <small>huge mapping lost</small></th>' in page
    assert re.search(r'<th scope="row">fault.0 <small>tdx.bug, probability = 0.003</small>', page)
    told = re.findall(r"<summary>(.+?): How (.+) came about in (h\d/v\d), .+</summary>", page)
    for name, summary in one[2]["protocols"].items():
        ids = {
            found
            for who, what, _ in told
            if who == name
            for found in re.findall("A?[NIL]+\\d+", what)
        }
        assert ids == {*summary["anomalies"], *summary["invariant_violations"]}
    page = render({**one[2]}, {})
    assert "came about" not in page


def test_latency_is_told_by_direction(one):
    found = table(one[2])
    by = one[2]["protocols"]["liar"]["latency_seconds_by_direction"]
    for way, words in (("private_to_shared", "to shared"), ("shared_to_private", "to private")):
        for rank in ("p50", "p99"):
            assert found[f"{rank} {words}"][2] == duration(by[way][rank])


def test_a_terminal_of_80_columns_has_room_for_the_ids_and_what_they_mean(one):
    protocols = {f"two-phase-{n}": one[2]["protocols"]["liar"] for n in range(8)}
    text = printed({**one[2], "protocols": protocols}, 80)
    assert max(map(len, text.splitlines())) <= 80
    assert len(re.findall("^verdict", text, re.MULTILINE)) == 2


def test_what_only_a_later_seed_shows_is_explained_too(two_seeds):
    record = json.loads(json.dumps(two_seeds[2]))
    for summary in record["protocols"].values():  # of the first seed
        summary["anomalies"] = {}
    assert re.search(r"^  AN15 huge.*\n    mapping lost", printed(record), re.MULTILINE)


def test_what_was_cut_short_stands_between_asked_and_requested(one):
    assert "cut short" not in table(one[2])
    summary = one[2]["protocols"]["twin"]
    cut = {**summary, "conversions": {**summary["conversions"], "cut_short": 7}}
    record = {**one[2], "protocols": {**one[2]["protocols"], "twin": cut}}
    assert table(record)["cut short"] == ["0", "7", "0"]
    assert [*table(record)][1:4] == ["asked", "cut short", "requested"]
    assert re.search(r"^cut short +of these", printed(record), re.MULTILINE)


def test_page_faults_that_were_sent_back_have_a_row_where_there_are_any(one):
    def with_retried(numbers):
        told = zip(one[2]["protocols"].items(), numbers, strict=True)
        protocols = {name: {**s, "page_faults_retried": count} for (name, s), count in told}
        return {**one[2], "protocols": protocols}

    assert "faults retried" not in table(with_retried([0, 0, 0]))
    some = with_retried([0, 1234, 5])
    assert table(some)["faults retried"] == ["0", "1,234", "5"]
    assert re.search(
        r"^faults retried +page faults that KVM sent back", printed(some), re.MULTILINE
    )


# --- the terminal --------------------------------------------------------------------------------

EIGHT = [
    "failable-notifier",
    "undo",
    "undo-split-first",
    "in-place",
    "in-place-huge",
    "two-phase",
    "two-phase-refcount",
    "two-phase-untraced",
]


def eight(record):
    summary = record["protocols"]["two-phase"]
    return {**record, "protocols": dict.fromkeys(EIGHT, summary)}


def test_eight_protocols_stand_side_by_side_in_120_columns(one, monkeypatch):
    record = eight(one[2])
    monkeypatch.delenv("COLUMNS", raising=False)
    lines = printed(record).splitlines()
    assert max(map(len, lines)) <= 120
    line = next(line for line in lines if line.startswith("requested"))
    assert len(line.split()) == 1 + len(EIGHT)


def test_in_80_columns_the_table_is_folded_into_equal_parts(one, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    lines = printed(eight(one[2]), width=80).splitlines()
    assert max(map(len, lines)) <= 80
    parts = [line for line in lines if line.startswith("requested")]
    assert [len(line.split()) for line in parts[:2]] == [5, 5]


@pytest.mark.parametrize("width", [20, 40, 80, 100, 120, 200])
def test_every_protocol_is_in_one_part(one, width):
    record = eight(one[2])
    parts = Folded(heads(record), rows(record)).parts(width)
    assert [place for part in parts for place in part] == list(range(8))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1 or len(parts) > 2


def test_long_names_are_broken_after_hyphens():
    assert broken("two-phase-untraced") == ["two-phase-", "untraced"]
    assert broken("undo-split-first") == ["undo-split-", "first"]
    assert broken("undo") == ["undo"]


def test_reasons_are_a_line_each(one):
    lines = printed(one[2]).splitlines()
    assert lines[0] == "VIOLATED  small, 3 protocols, seed 1"
    assert lines[1].startswith("  twin: AN15 (huge mapping lost)")
    assert lines[2].startswith("  liar: I")
    assert lines[3] == ""


# --- ended early ---------------------------------------------------------------------------------


@pytest.fixture
def stopped(monkeypatch):
    """Ctrl-C once the first protocol is through."""
    seeds = Session.seeds

    def then_stop(session, *words):
        found = seeds(session, *words)
        session.stop.why = "stopped by SIGINT"
        return found

    monkeypatch.setattr(Session, "seeds", then_stop)


def test_what_was_finished_is_kept_when_it_is_stopped(tmp_path, stopped):
    status, latest, record = run(tmp_path)
    assert (status, record["verdict"], record["not_run"]) == (3, "unknown", ["twin", "liar"])
    assert record["protocols"]["two-phase"]["verdict"] == "valid"
    assert "not run any more: twin, liar" in printed(record)
    assert printed(record).startswith("UNKNOWN  small, 1 of 3 protocols, seed 1\n")
    assert "--protocol two-phase,twin,liar" in (latest / "report.html").read_text()


def test_a_violation_counts_however_it_ended(tmp_path, stopped):
    status, _, record = run(tmp_path, names=["liar", "twin"])
    assert (status, record["verdict"], record["not_run"]) == (1, "violated", ["twin"])


def test_seeds_that_are_missing_are_told(two_seeds):
    _, _, record = two_seeds
    seeds = record["seeds"]["protocols"]["two-phase"]
    fewer = {**seeds, "wanted": 5, "verdict": "unknown"}
    over = {"wanted": 5, "protocols": {**record["seeds"]["protocols"], "two-phase": fewer}}
    assert "two-phase: 2 of 5 seeds were run" in reasons({**record, "seeds": over})
    assert "seeds" not in table(record)
    assert table({**record, "seeds": over})["seeds"] == ["2 of 5", "2 of 2", "2 of 2"]


def test_the_time_limit_is_over_everything(tmp_path):
    status, _, record = run(tmp_path, limit=0.0)
    assert (status, record["not_run"]) == (3, ["twin", "liar"])
    assert "the time limit was reached" in printed(record)


def test_a_mistake_leaves_no_folder(tmp_path):
    with pytest.raises(UsageError):
        run(tmp_path, "workload=[{kind='trace',log=['no.log']}]")
    assert not list(tmp_path.glob("small/*"))


def test_every_figure_of_the_table_is_in_a_summary(one):
    for figure in FIGURES:
        if figure.path[0] in (
            "arrivals",
            "moves",
        ):  # tests/workloads/test_arrivals.py, test_moves.py
            continue
        value = one[2]["protocols"]["two-phase"]
        for key in figure.path:
            value = value[key]
        assert isinstance(value, int | float), figure.label
