"""Rows as engine runs: each moves with the costs it depends on, and can be missed."""

import json

import pytest

from actors.contract import PAGE_BYTES
from workloads.validation import boot, conversion, exact, memory
from workloads.validation.command import validate
from workloads.validation.engine import Run, perform
from workloads.validation.targets import Target

MIB = 1 << 20
# Rows that take a second at most; the others have runs of their own below, on less memory.
QUICK = ("VT1", "VT2", "VT3", "VT4", "VT5", "VT9", "VT10", "VT13", "VT14", "VT15")


def values(target: Target, *costs: str):
    keys = [f"costs.override.{cost}" for cost in costs]
    return [row.simulated for row, _ in target.judged(keys)]


# --- quick rows ----------------------------------------------------------------------------------


def test_quick_rows_are_within_their_tolerance(capsys):
    status = validate(QUICK, (), 1, as_json=True, quiet=True)
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert (status, found["verdict"], err) == (0, "valid", "")
    assert [row for row in found["rows"] if row["ok"] is False] == []
    assert list(dict.fromkeys(row["id"] for row in found["rows"])) == list(QUICK)
    assert found["engine"]["events"] > 100_000


@pytest.mark.parametrize("seed", [2, 3])
def test_the_seed_hardly_matters(seed, capsys):
    assert validate(("VT1", "VT2", "VT10"), (), seed, as_json=True, quiet=True) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert all(0.9 < row["ratio"] < 1.1 for row in rows if row["ratio"])


def test_rows_are_told_as_they_come_and_the_table_at_the_end(capsys):
    validate(("VT1", "VT2"), (), 1, as_json=False, quiet=False)
    out, err = capsys.readouterr()
    assert [line.split()[0] for line in err.splitlines()] == ["VT1", "VT2"]
    assert out.startswith("VALID  2 of 2 figures")


def test_a_time_limit_is_unknown_and_keeps_what_was_run(capsys):
    assert validate(("VT1", "VT4"), (), 1, as_json=True, quiet=True, limit=0.0) == 3
    found = json.loads(capsys.readouterr().out)
    assert (found["verdict"], found["rows"], found["not_run"]) == ("unknown", [], ["VT1", "VT4"])
    assert found["stopped"] == "the time limit was reached"


def test_a_cost_far_off_is_a_miss_and_an_exit_status(capsys):
    assert validate(("VT1",), ("mmu_walk=+100%",), 1, as_json=False, quiet=True) == 1
    assert "MISSED" in capsys.readouterr().out


def test_ctrl_c_keeps_the_rows_so_far(capsys, monkeypatch):
    def interrupted(self, *_):
        raise KeyboardInterrupt

    first = conversion.VT1
    judged = Target.judged
    monkeypatch.setattr(
        Target,
        "judged",
        lambda self, *keys: (judged if self is first else interrupted)(self, *keys),
    )
    assert validate(("VT1", "VT2"), (), 1, as_json=True, quiet=True) == 3
    found = json.loads(capsys.readouterr().out)
    assert (found["verdict"], [row["id"] for row in found["rows"]]) == ("unknown", ["VT1"])


# --- what a row depends on -----------------------------------------------------------------------

TENTH = [
    (conversion.VT1, "remove_4k=4400ns", [4 / 23]),
    (conversion.VT2, "kick_slope=1051ns", [236 / 259]),
    (conversion.VT3, "tick_slope=2200ns", [494 / 753]),
    (memory.VT9, "vfio_map_4k=74ns", [7 / 6.7, 0]),
    (memory.VT9, "vfio_unmap_4k=81ns", [0, 7 / 7.4]),
    (conversion.SPLIT_2M, "ept_split_2m=34100ns", [31 / 31.6]),
]


@pytest.mark.parametrize(
    ("target", "cost", "parts"), TENTH, ids=lambda v: v if isinstance(v, str) else ""
)
def test_a_tenth_more_of_a_cost_moves_the_rows_that_depend_on_it_by_its_part(target, cost, parts):
    pairs = zip(values(target), values(target, cost), strict=True)
    moved = [after / before for before, after in pairs]
    assert moved == [pytest.approx(1 + 0.1 * part, abs=0.004) for part in parts]


def test_a_kick_that_costs_a_tenth_more_moves_vt2_by_nine_to_ten_percent(capsys):
    found = []
    for costs in ((), ("kick_slope=+10%",)):
        validate(("VT2",), costs, 1, as_json=True, quiet=True)
        found.append(json.loads(capsys.readouterr().out)["rows"][0]["simulated"])
    assert 1.09 < found[1] / found[0] < 1.10


STORM, PARALLEL = (256 * MIB, 1, 248, "4k"), (256 * MIB, 64, 0, "4k")


@pytest.mark.parametrize(
    ("shape", "cost", "part"),
    [
        (STORM, "aug_accept_4k_storm=168300ns", 1),
        (STORM, "accept_4k=4400ns", 0),  # the storm's figure is for the whole
        (PARALLEL, "aug_serial_4k=3740ns", 1),
        (PARALLEL, "aug_4k=4400ns", 0),  # hidden behind the serial part
    ],
)
def test_accepting_depends_on_what_limits_it(shape, cost, part):
    run = boot.accept(*shape)
    before, after = (boot.accepting(perform(run, k)) for k in ((), (f"costs.override.{cost}",)))
    assert after / before == pytest.approx(1 + 0.1 * part, abs=0.006)


def test_accepting_takes_its_published_time_a_page():
    pages = 256 * MIB // PAGE_BYTES
    calm, storm, parallel = (
        boot.accepting(perform(boot.accept(*shape))) / pages * 1e6
        for shape in ((256 * MIB, 1, 0, "4k"), STORM, PARALLEL)
    )
    assert [calm, storm] == pytest.approx([8, 153], rel=0.02)
    assert parallel == pytest.approx(3.4, rel=0.05)


def test_a_boot_adds_up_its_parts():
    small = boot.boot(
        2 << 30,
        "vm.vcpus=248",
        "vm.busy_vcpus=248",
        boot.SMALL_FOLIOS,
        "costs.override.boot_fixed=1s",
        accept="128MiB",
        ticking_vcpus=248,
        swiotlb_max="64MiB",
    )
    reading = perform(small)
    swiotlb, rest = 64 * MIB // PAGE_BYTES, 128 * MIB // PAGE_BYTES
    wanted = swiotlb * (8 + 259) + rest * 153
    assert boot.booted(reading) - 1 == pytest.approx(wanted / 1e6, rel=0.08)


# --- the lock ------------------------------------------------------------------------------------


def test_a_look_at_the_mark_saves_nearly_every_take_of_the_lock():
    each, tested = (
        perform(
            boot.boot(
                64 * MIB,
                "vm.busy_vcpus=1",
                f"vm.guest_inhibit={inhibit}",
                firmware_conversions=200,
                firmware_range="4MiB",
                accept="0B",
                swiotlb_min="2MiB",
                swiotlb_max="2MiB",
            )
        ).probe
        for inhibit in ("each", "tested")
    )
    assert each.pages == tested.pages
    accepted_again = (each.pages - 512) // 2
    assert (each.write_locks, tested.write_locks) == (accepted_again, 2)


# --- rows that cannot fail would be no rows ------------------------------------------------------


def test_faults_show_in_what_has_to_be_calm():
    calm = exact.calm("two-phase")
    keys = ("scenario.conversions=200", "fault.0.point=pins.long", "fault.0.probability=0.2")
    assert [row.ok for row, _ in calm.judged(keys)] == [False]


def test_a_pattern_that_is_not_finished_does_not_agree():
    runs = [exact.selftest(number) for number in range(5)]
    early = [
        Run((*run.keys, f"scenario.conversions={exact.requests_until(n) - 1}"))
        for n, run in enumerate(runs)
    ]
    (agreed,) = exact.agreeing([perform(run) for run in early])
    assert agreed < 5 * exact.REGION


def test_an_entry_of_1g_is_told_as_missing_and_not_judged():
    ((row, events),) = conversion.SPLIT_1G.judged(())
    assert (row.simulated, row.ok, events) == (None, None, 0)
    assert "no entries of 1 GiB" in row.reason


# --- everything ----------------------------------------------------------------------------------


@pytest.mark.nightly
@pytest.mark.timeout(600)
def test_every_row_is_within_its_tolerance(capsys):
    assert validate((), (), 1, as_json=True, quiet=True) == 0
    found = json.loads(capsys.readouterr().out)
    assert {row["id"] for row in found["rows"]} == {f"VT{n}" for n in range(1, 17)}
    assert [row for row in found["rows"] if row["ok"] is False] == []
    assert found["engine"]["wall_seconds"] < 300
