"""What is wrong in an experiment's file is told in one line: where, what was found, what would be right."""

import pytest
from click.testing import CliRunner

from tests.workloads.experiment.small import GRID, HEAD, SEARCH, grid
from tests.workloads.small_runs import FAULTS, run
from workloads.cli import cli
from workloads.errors import UsageError
from workloads.experiment import decode, explain, in_words, load
from workloads.experiment.drive import refuse_mistakes
from workloads.experiment.paths import wrong
from workloads.experiment.points import candidates, combinations, scenario_of
from workloads.experiment.records import Search
from workloads.outcome.summary import summarise
from workloads.pool import executor_of
from workloads.scenario import shipped as scenarios
from workloads.scenario.source import EXPERIMENTS, shipped

AXIS = "\n[[axis]]\nkey = 'vm.vcpus'\nvalues = [1]\n"
MISTAKES = {
    "x = 1": "x: unknown key; allowed: experiment, base, axis, point, search, measure, plot, table, conclusion, checks",
    "[serach]": "serach: unknown key; nearest: search",
    "[[axis]]\nname = 'a'\nvalues = [1]": "axis.1.key: not given, expected the key that the values are for",
    "[[axis]]\nkey = 'vm.vcpus'\nvalues = 3": "axis.1.values: found 3, expected a list of values",
    "[[axis]]\nkey = 'vm.vcpus'\nvalues = []": (
        "axis.1.values: found an empty list, expected a list of values"
    ),
    "[search]\nkey = 'a'\nreliev = {}\nobjective = 'boot.p99 < 5s'": (
        "search.reliev: unknown key; nearest: relieve"
    ),
    "[search]\nx = 1": "search.x: unknown key; allowed: key, name, unit, low, high, step, ratio, objective, relieve",
    "[[axis]]\nkey = 'vm.vcpus'\nvalues = [1, 1]": "axis.1.values: found 1 twice, expected each value once",
    "[[axis]]\nkey = 'vm.vcpus'\nvals = [1]": "axis.1.vals: unknown key; nearest: values",
    "[[axis]]\nkey = 'vm.vcpus'\nvalues = [1]": 'axis: found "vm.vcpus" twice, expected each name once',
    "[[axis]]\nname = 'a'\nkey = 'vm.vcpus'\nvalues = [2]": (
        'axis: found vm.vcpus in axis "vm.vcpus" and vm.vcpus in axis "a", expected each key once'
    ),
    "[[point]]\nlabel = 'a'\nset = { vm = { vcpus = 2 } }": (
        'axis: found vm.vcpus in axis "vm.vcpus" and vm in axis "point", expected each key once'
    ),
    "[search]\nkey = 'vm.vcpus'\nname = 'a'\nobjective = 'boot.p99 < 5s'": (
        'search.key: found vm.vcpus in axis "vm.vcpus" and vm.vcpus in [search], expected each'
    ),
    "[[measure]]\nname = 'a'": "measure.0.path: not given, expected a text",
    "[[measure]]\nname = 'a'\npath = 'b'\nunit = 'time'": 'measure.0.unit: found "time", expected one of',
    "[[measure]]\nname = 'vm.vcpus'\npath = 'boot.p99'": (
        'measure.0.name: found "vm.vcpus", which is an axis; expected another name'
    ),
    "[[measure]]\nname = 'seeds'\npath = 'boot.p99'": (
        'measure.0.name: found "seeds", which is a column of every sweep; expected another name'
    ),
    "[[measure]]\nname = 'a'\npath = 'boot.p99'\n[[measure]]\nname = 'a_low'\npath = 'boot.p99'": (
        'measure.1.name: found "a_low", which is a column of another measure; expected another name'
    ),
    "[[measure]]\nname = 'a'\npath = 'conversions.complted'": (
        'measure.0.path: found "conversions.complted", which no run has; nearest: conversions.completed'
    ),
    "[[measure]]\nname = 'a'\npath = 'failures'\nper = 'anomalies.AM19'": (
        'measure.0.per: found "anomalies.AM19", which no run has; nearest: anomalies.AN19'
    ),
    "[[measure]]\nname = 'a'\npath = 'verdict'": (
        'measure.0.path: found "verdict", which is no number; expected one such as conversion.latency'
    ),
    "[[axis]]\nname = 'verdict'\nkey = 'vm.mlock'\nvalues = [1]": 'axis: found "verdict", which is',
    "[[plot]]\nx = 'vm.vcpu'\ny = 'b'": 'plot.0.x: found "vm.vcpu"; nearest: vm.vcpus',
    "[[table]]\nacross = 'vm.vcpus'": "table.0.of: not given, expected a list of measures or figures",
    "[[table]]\nof = ['a']\nacross = 'vm.vcpu'": 'table.0.across: found "vm.vcpu"; nearest: vm.vcpus',
    "[conclusion]\nanalysis = 'extreme'": (
        'conclusion.analysis: found "extreme", expected an analysis; nearest: extremes'
    ),
    "[conclusion]\noptions = { x = 1 }": "conclusion.options.x: unknown option of points; allowed: none",
    "[conclusion]\npaired = 'vm.vcpu'": (
        'conclusion.paired: found "vm.vcpu", expected an axis; nearest: vm.vcpus'
    ),
    "[search]\nkey = 'vm.mlock'\nobjective = 'boot.p99 < 5s'\n[conclusion]\npaired = 'vm.vcpus'": (
        'conclusion.paired: found "vm.vcpus" beside [search]'
    ),
    "[conclusion]\ntext = '{a'": "conclusion.text: expected '}' before end of string",
    "[checks]\na = 'less'": 'checks.a: found "less", expected a limit such as',
    "[search]\nobjective = 'boot.p99 < 5s'": "search.key: not given, expected a key of the scenario",
    "[search]\nkey = 'vm.vcpus'\nobjective = 'boot.p98 < 5s'": "search.objective: boot.p98: unknown check",
    "[search]\nkey = 'vm.vcpus'\nobjective = 'boot.p99 < 5'": 'search.objective: boot.p99: found "5"',
    "[search]\nkey = 'a'\nobjective = 'boot.p99 < 0x'": 'search.objective: boot.p99: found "0x"',
    "[search]\nkey = 'a'\nobjective = 'conversions.failed < 2x'": (
        'search.objective: conversions.failed: found "2x"'
    ),
    "[search]\nkey = 'a'\nlow = 9\nhigh = 3\nobjective = 'boot.p99 < 5s'": (
        "search.high: found 3, expected at least low, 9"
    ),
    "[search]\nkey = 'a'\nobjective = 'boot.p99 < 5s'\nrelieve = { vmm = 'b' }": (
        'search.relieve.vmm: found "b", expected a list of costs, or a table of the scenario\'s keys'
    ),
    "[search]\nkey = 'costs.override.block'\nobjective = 'boot.p99 < 5s'\nrelieve = { mmu_lock = ['block'] }": (
        "search.relieve.mmu_lock: found block, which [search] varies as costs.override.block; expected another"
    ),
    "[search]\nkey = 'a'\nobjective = 'boot.p99 < 5s'\nrelieve = { mmu_lok = [] }": (
        "search.relieve.mmu_lok: unknown resource; nearest: mmu_lock"
    ),
    "[search]\nkey = 'a'\nobjective = 'boot.p99 < 5s'\nrelieve = { requests = [] }": (
        "search.relieve.requests: unknown resource; allowed: vmm, ilock, "
    ),
}


@pytest.mark.parametrize("name", shipped(EXPERIMENTS))
def test_shipped_experiments_have_no_mistake_that_is_seen_before_a_run(name):
    refuse_mistakes(load(name), 1)


@pytest.mark.parametrize("text", MISTAKES)
def test_mistakes_are_told_in_one_line(text):
    before = f"{text}\n{HEAD}{AXIS}" if text.startswith("x") else f"{HEAD}{AXIS}{text}"
    with pytest.raises(UsageError) as caught:
        decode(before, "small.toml")
    assert str(caught.value).startswith(f"small.toml: {MISTAKES[text]}")
    assert "\n" not in str(caught.value)


def test_question_prediction_and_something_to_vary_are_wanted():
    for text, words in (
        ("[experiment]\nprediction = 'x'", "experiment.question: not given"),
        ("[experiment]\nquestion = 'x'", "experiment.prediction: not given"),
        (HEAD, "axis: not given, expected [[axis]], [[point]] or [search]"),
    ):
        with pytest.raises(UsageError, match=f"small.toml: {words}".replace("[", r"\[")):
            decode(text, "small.toml")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            GRID.replace('"undo"', '"undoo"'),
            'small.toml: protocol undoo, VMs 1: protocol.name: found "undoo"',
        ),
        (
            GRID.replace("[1, 2]", "[1, 0]"),
            "small.toml: protocol two-phase, VMs 0: fleet.vms_per_host: found 0",
        ),
        (GRID.replace("vms_per_host", "vms_per_hots"), "unknown key; nearest: fleet.vms_per_host"),
        (SEARCH.replace("high = 40", "high = 20000"), "VMs 20000: fleet.vms_per_host: found 20000"),
        (
            SEARCH.replace("iotlb_invalidate", "iotlb"),
            "search.relieve.iommu_queue: unknown cost iotlb",
        ),
        (
            GRID.replace("fleet.vms_per_host", "workload.3.rate"),
            'small.toml: protocol two-phase, VMs 1: workload.3.rate: workload.3: found index "3"',
        ),
        (
            GRID.replace("conversion.latency.p99", "arrivals.placed"),
            'small.toml: measure.0.path: found "arrivals.placed", which no point has: it takes [arrivals]',
        ),
        (
            SEARCH.replace("conversion.latency.p99 <", "boot.p99 <"),
            'search.objective: found "boot.p99", which no point has: it takes a [[workload]] of kind "boot"',
        ),
        (GRID.replace("[1, 2]", "[true]"), "VMs true: fleet.vms_per_host: found true"),
        (GRID + "\n[base]\n'vm.vcpus' = 0", "small.toml: base.vm.vcpus: found 0"),
    ],
)
def test_points_are_judged_before_anything_is_run(text, told):
    with pytest.raises(UsageError) as caught:
        refuse_mistakes(decode(text, "small.toml"), 1)
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            GRID.replace("{p99 undo 1}", "{p99 undoo 1}"),
            'conclusion.text: found "{p99 undoo 1}", which is no figure; nearest: p99 undo 1',
        ),
        (GRID.replace("{p99 undo 1}", "{0}"), 'conclusion.text: found "{0}", which is no figure'),
        (GRID.replace("{p99 undo 1}", "{}"), 'conclusion.text: found "{}", which is no figure'),
        (
            GRID.replace("{p99 undo 1}", "{x.__class__}"),
            'conclusion.text: found "{x.__class__}", which is no figure; expected one such as least p99',
        ),
        (
            GRID.replace('"most p99"', '"mots p99"'),
            "checks.mots p99: no such figure; nearest: most",
        ),
        (GRID.replace('"< 1s"', '"< 1MiB"'), 'checks.most p99: found "1MiB"'),
        (GRID.replace('"< 1s"', '"== none"'), 'checks.most p99: found "none"'),
        (
            GRID.replace('"most p99"', '"most p99 at"'),
            'checks.most p99 at: found "< 1s" for a text, expected == or != and the text',
        ),
        (
            GRID + '[[table]]\nof = ["p98"]',
            'table.0.of: found "p98 two-phase 1", which is no figure; nearest: p99 two-phase 1',
        ),
        (SEARCH.replace('"== yes"', '"> 0"'), 'checks.monotone: found "> 0" for a text'),
        (
            SEARCH.replace("{least answer}", "{p99 undo 41}"),
            'conclusion.text: found "{p99 undo 41}", which is no figure; nearest: p99 undo',
        ),
        (
            SEARCH.replace("relieve =", "# relieve ="),
            'conclusion.text: found "{most gain}", which is no figure; nearest: most answer',
        ),
    ],
)
def test_figures_that_there_cannot_be_are_told_before_anything_is_run(text, told):
    with pytest.raises(UsageError) as caught:
        refuse_mistakes(decode(text, "small.toml"), 1)
    assert str(caught.value).startswith(f"small.toml: {told}")
    assert "\n" not in str(caught.value)


def test_figures_of_single_points_of_a_search_can_be_asked_for():
    text = SEARCH.replace("{least answer}", "{p99 undo 40}, {answer undo}, {control gain undo}")
    refuse_mistakes(decode(text.replace('"== yes"', '"!= no"\n"answer undo" = "!= none"'), "x"), 1)


def test_every_figure_of_a_run_can_be_measured():
    """What a run has is what the layout and the tables beside it say."""
    found = summarise(*run(FAULTS))
    assert found["failures"] and found["resources"]
    leaves = list(numbers(found))
    assert len(leaves) > 100
    assert {path: told for path in leaves if (told := wrong(path))} == {}


def numbers(node, path=""):
    """Paths of all numbers below, but for those in lists."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield from numbers(value, f"{path}.{key}".lstrip("."))
    elif isinstance(node, int | float) and not isinstance(node, bool):
        yield path


def test_seeds_are_varied_in_one_way():
    text = GRID.replace("fleet.vms_per_host", "scenario.seed")
    refuse_mistakes(decode(text, "small.toml"), 1)
    told = r"^small\.toml: scenario\.seed: found it varied, and 2 seeds of each point beside it"
    with pytest.raises(UsageError, match=told):
        refuse_mistakes(decode(text, "small.toml"), 2)


def test_set_is_named_and_cannot_set_what_is_varied():
    with pytest.raises(UsageError, match=r"^--set: vm\.vcpu: unknown key; nearest: vm\.vcpus"):
        refuse_mistakes(grid("vm.vcpu=1"), 1)
    with pytest.raises(UsageError, match=r"^--set protocol\.name: the experiment varies it"):
        grid("protocol.name=undo")


def test_a_point_sets_its_keys_over_the_base():
    text = GRID + "\n[base]\n'vm.vcpus' = 4\n'scenario.seed' = 7"
    experiment = decode(text, "small.toml", ("vm.busy_vcpus=2",))
    points = list(combinations(experiment.axes))
    assert [point.name for point in points] == [
        f"protocol {name}, VMs {vms}" for name in ("two-phase", "undo") for vms in (1, 2)
    ]
    found = scenario_of(experiment, points[3]).scenario
    assert (found.protocol.name, found.fleet.vms_per_host) == ("undo", 2)
    assert (found.vm.vcpus, found.vm.busy_vcpus, found.scenario.seed) == (4, 2, 7)


def test_a_protocol_that_cannot_run_it_is_adjusted():
    text = GRID.replace('"undo"', '"in-place"')
    *_, last = combinations(decode(text, "small.toml").axes)
    found, changed = scenario_of(decode(text, "small.toml"), last)
    assert (found.protocol.name, found.vm.page_order) == ("in-place", 0)
    assert "vm.page_order" in changed


def test_labels_stand_for_several_keys():
    text = f"""{HEAD}
[[axis]]
name = "pages"
values = [
    {{ label = "2 MiB", set = {{ "vm.page_order" = 9 }} }},
    {{ label = "4 KiB", set = {{ "vm.page_order" = 0, "vm.start" = "mapped-4k" }} }},
]
[[axis]]
name = "vCPUs"
key = ["vm.vcpus", "vm.busy_vcpus"]
values = [1, 8]
"""
    experiment = decode(text, "small.toml")
    *_, last = combinations(experiment.axes)
    found = scenario_of(experiment, last).scenario
    assert (found.vm.page_order, found.vm.start) == (0, "mapped-4k")
    assert (found.vm.vcpus, found.vm.busy_vcpus) == (8, 8)
    assert last.place == (("pages", "4 KiB"), ("vCPUs", 8))


def test_a_scenario_beside_the_file_is_found(tmp_path):
    (tmp_path / "mine.toml").write_text("[vm]\nvcpus = 3")
    file = tmp_path / "it.toml"
    file.write_text(GRID.replace("[experiment]", "[experiment]\nscenario = 'mine.toml'"))
    experiment = load(str(file))
    assert experiment.about.name == "it"
    assert scenario_of(experiment, next(combinations(experiment.axes))).scenario.vm.vcpus == 3


def test_values_of_a_search_are_whole_where_its_ends_are():
    assert candidates(Search(low=1, high=4)) == [1, 2, 3, 4]
    assert candidates(Search(low=1, high=10, ratio=1.5)) == [1, 2, 3, 5, 8]
    assert candidates(Search(low=0.5, high=2, step=0.5)) == [0.5, 1, 1.5, 2]


def test_experiments_have_no_scenarios_names():
    assert not set(shipped(EXPERIMENTS)) & set(scenarios())


@pytest.mark.parametrize("name", shipped(EXPERIMENTS))
def test_shipped_experiments_can_be_run_and_explained(name):
    experiment = load(name)
    refuse_mistakes(experiment, experiment.about.seeds)
    assert experiment.checks
    assert experiment.about.question.strip().split()[0] in in_words(explain(experiment), 110)


def test_help_has_the_defaults_of_a_sweep():
    told = " ".join(CliRunner().invoke(cli, ["sweep", "--help"]).output.split())
    assert f"[default: {executor_of(dict.fromkeys(('executor', 'address', 'workers')))}]" in told
    assert "DIR/EXPERIMENT/TIME-SEED" in told and "What points.json has" in told
    assert "summary.json" not in told
