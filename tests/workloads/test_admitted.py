"""What protocols admit: docs/domain.md's table as data, and which settings open a cell."""

import re
from pathlib import Path

import pytest

from actors.protocols import PROTOCOLS
from tests.workloads.small_runs import decode
from workloads.checkers import ANOMALIES, INVARIANTS
from workloads.checkers.admitted import (
    EVERY,
    NEVER,
    PAIRED,
    ROWS,
    WINDOWS,
    admits,
    admitting,
    described,
)
from workloads.checkers.meanings import MEANINGS
from workloads.outcome.settings import of_scenario, of_summary
from workloads.outcome.summary import parameters
from workloads.scenario import explain

DOMAIN = Path("docs/domain.md").read_text(encoding="utf-8")
IDS = [f"AN{n}" for n in range(1, 29)]
DEFAULTS = {row.key: row.default.strip('"') for row in explain(decode())}
SETTINGS = sorted({(w.when.key, w.when.own) for w in WINDOWS if w.when not in (None, NEVER)})


def of(*overrides):
    """Protocol and settings of a scenario."""
    found = decode(*overrides)
    return found.protocol.name, of_scenario(found)


def table():
    """docs/domain.md section 5: id -> a letter for each protocol."""
    for line in DOMAIN.splitlines():
        cells = [cell.strip().strip("*") for cell in line.strip("|").split("|")]
        if re.fullmatch(r"AN\d+", cells[0]) and len(cells) == 11:
            yield cells[0], cells[3:]


LETTERS = {"n": "n/a"}
READ_AS_Y = ("less", "Y")  # AN25's "less" is fewer, not none


def test_the_rows_are_those_of_the_domain():
    found = dict(table())
    assert list(found) == list(ROWS) == IDS
    for name, cells in found.items():
        for letter, cell in zip(ROWS[name], cells, strict=True):
            words = READ_AS_Y if letter == "Y" else (LETTERS.get(letter, letter),)
            assert cell.startswith(words), name


def test_every_window_of_a_protocol_has_a_reason():
    missing = [
        (name, protocol)
        for name, row in ROWS.items()
        for protocol, letter in zip(EVERY, row, strict=True)
        if letter == "w"
        and not any(w.check == name and protocol in w.protocols and w.why for w in WINDOWS)
    ]
    assert missing == []


def test_no_cell_has_two_windows_by_one_setting():
    cells = [
        (window.check, protocol, window.when and window.when.key)
        for window in WINDOWS
        for protocol in window.protocols
    ]
    assert len(cells) == len(set(cells))


@pytest.mark.parametrize(("key", "own"), SETTINGS)
def test_a_windows_key_is_a_scenarios_with_this_default(key, own):
    assert DEFAULTS[key] == own


@pytest.mark.parametrize("window", [w for w in WINDOWS if w.when not in (None, NEVER)])
def test_a_windows_values_can_be_asked_for(window):
    for value in window.when.values:
        decode(f"{window.when.key}={value}", f"protocol.name={window.protocols[-1]}", *ORDER)


# in-place knows no other order, and two backends no other IOMMU.
ORDER = ("vm.page_order=0", "vm.start=mapped-4k", "vm.iommu=pin")


def test_every_check_has_a_meaning_and_none_is_left_over():
    assert {check.id for check in ANOMALIES + INVARIANTS} <= set(MEANINGS)
    assert set(MEANINGS) == {
        *IDS,
        *(f"I{n}" for n in range(1, 30)),
        *(f"L{n}" for n in range(1, 13)),
    }
    assert all(meaning.text.endswith(".") and meaning.source for meaning in MEANINGS.values())


@pytest.mark.parametrize(
    ("check", "override", "protocol"),
    [
        ("AN2", "protocol.iommu_prepare=unmap-early", "two-phase"),
        ("AN2", "vm.iommu=pin", "two-phase-untraced"),
        ("AN17", "protocol.freeze_at=commit", "two-phase-untraced"),
        ("AN3", "protocol.bug_on=no", "two-phase"),
        ("AN4", "protocol.on_poison=proceed-rest", "two-phase"),
        ("AN3", "protocol.post_commit_check=fail-efault", "two-phase-refcount"),
        ("AN11", "protocol.mark=none", "undo-split-first"),
        ("AN10", "protocol.mark=refcount", "two-phase-untraced"),
        ("AN9", "protocol.mark=refcount", "two-phase"),
        ("AN21", "protocol.zap_first=no", "in-place-huge"),
        ("AN21", "protocol.uniform_split=true", "two-phase"),
        ("I7", "protocol.zap_first=mixed", "in-place-huge"),
    ],
)
def test_a_setting_opens_a_window(check, override, protocol):
    assert not admits(check, *of(f"protocol.name={protocol}"))
    assert admits(check, *of(f"protocol.name={protocol}", override))
    assert protocol in admitting(check)


@pytest.mark.parametrize(
    ("check", "override", "protocol"),
    [
        ("AN9", "protocol.post_commit_check=fail-efault", "two-phase-refcount"),
        ("AN11", "protocol.mark=refcount", "two-phase-untraced"),
        ("AN19", "protocol.swallow_enomem=false", "undo"),
        ("I22", "protocol.swallow_enomem=false", "undo"),
        ("AN13", "protocol.notifier_scope=gmem-only", "failable-notifier"),
        ("AN20", "protocol.store_first=true", "in-place-huge"),
    ],
)
def test_a_setting_closes_one(check, override, protocol):
    assert admits(check, *of(f"protocol.name={protocol}"))
    assert not admits(check, *of(f"protocol.name={protocol}", override))


def test_what_prepare_unmaps_early_is_back_after_abort():
    early = "protocol.host_unmap=early-saved"
    assert not any(admits("AN8", *of(early, f"protocol.name={name}")) for name in EVERY[-3:])


def test_a_window_may_take_two_settings():
    known = ("protocol.bug_on=no", "protocol.mark=none")
    assert not any(admits("I2", *of(one)) for one in known)
    assert admits("I2", *of(*known))


def test_two_phase_admits_at_its_defaults_what_nobody_can_help():
    found = {name for name in ROWS if admits(name, *of())}
    assert found == {f"AN{n}" for n in (12, 15, 16, 18, 23, 24, 25, 28)}


def test_what_no_model_can_show_is_admitted_by_nobody():
    assert [name for name in ROWS if not admitting(name)] == ["AN26"]
    assert described("AN26") == "no protocol"
    assert described("AN23") == "every protocol"
    assert described("AN20") == "in-place-huge"


def test_an_invariant_is_kept_unless_its_anomalies_are_admitted():
    assert set(PAIRED) <= {f"I{n}" for n in range(1, 24)} | {"L1", "L2", "L5"}
    for name, anomalies in PAIRED.items():
        for protocol in PROTOCOLS:
            own = {w.check for w in WINDOWS if protocol in w.protocols}
            shown = any(admits(anomaly, protocol) for anomaly in anomalies)
            assert admits(name, protocol) is (shown or name in own), (name, protocol)


def test_a_summary_and_its_scenario_have_the_same_settings():
    texts = ("protocol.freeze_at=commit", "protocol.swallow_enomem=false")
    found = decode(*texts)
    summary = {"parameters": parameters(found)}
    short = {key: value for key, value in of_summary(summary).items() if "protocol" in key}
    assert short == {"protocol.freeze_at": "commit", "protocol.swallow_enomem": "false"}
    assert short.items() <= of_scenario(found).items()


def test_without_settings_whatever_some_setting_opens_is_admitted():
    assert admits("AN17", "two-phase") and not admits("AN17", "two-phase", {})


def test_what_is_unknown_is_not_admitted():
    assert not admits("AN99", "two-phase", {})
    assert not admits("AN1", "a-protocol-of-a-test", {})
