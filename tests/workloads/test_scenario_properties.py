"""Of any scenario: it can be written and read back; of any input: no traceback."""

import string

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from workloads.errors import UsageError
from workloads.scenario import (
    KINDS,
    Fault,
    Scenario,
    decode,
    explain,
    from_document,
    to_toml,
)
from workloads.scenario.keys import INT_MAX, Section, entries
from workloads.scenario.struct import SECTIONS
from workloads.units import format_duration, format_size

POINTS = ("tdx.bug", "tdx.busy")
FIXED = settings(derandomize=True, max_examples=200, deadline=None)

VALUES = {
    "duration": lambda key: st.integers(key.low, INT_MAX).map(format_duration),
    "size": lambda key: st.integers(key.low // key.step, 1 << 40).map(
        lambda number: format_size(max(number * key.step, key.low))
    ),
    "count": lambda key: st.integers(key.low, key.high),
    "number": lambda key: st.floats(key.low, key.high),
    "text": lambda key: st.text(st.characters(codec="utf-8")),
    "name": lambda key: st.text(string.ascii_letters + "é_-", min_size=1),
    "choice": lambda key: st.sampled_from(tuple(key.choices)),
    "switch": lambda key: st.booleans(),
    "texts": lambda key: st.lists(st.text(st.characters(codec="utf-8"))),
    "counts": lambda key: st.lists(st.integers(key.low, 8)),
    "sizes": lambda key: st.lists(st.integers(0, 1 << 20).map(lambda n: format_size(n * key.step))),
    "costs": lambda key: st.dictionaries(
        st.text(st.characters(codec="utf-8")),
        st.sampled_from(["5us", "1.5ms"]) | st.floats(0, 1e9) | st.integers(0, INT_MAX),
    ),
}  # fmt: skip


def tables(section: type[Section], **fixed):
    keys = {name: VALUES[entry.key.kind](entry.key) for name, entry in entries(section).items()}
    return st.fixed_dictionaries({k: st.just(v) for k, v in fixed.items()}, optional=keys)


DOCUMENTS = st.fixed_dictionaries(
    {},
    optional={
        **{name: tables(section) for name, section in SECTIONS.items()},
        "workload": st.lists(
            st.one_of([tables(section, kind=kind) for kind, section in KINDS.items()]), max_size=2
        ),
        "fault": st.lists(tables(Fault), max_size=2),
        "checks": st.just({"anomalies": "none", "conversion.latency.p99": "< 5ms"}),
    },
)


@FIXED
@given(st.data())
def test_what_is_written_loads_as_the_same_scenario(data):
    try:
        scenario = from_document(data.draw(DOCUMENTS), "any.toml")
    except UsageError:
        assume(False)
    assert decode(to_toml(scenario), "other.toml") == scenario


# ---- no input gives a traceback

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.dates(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
NAMES = sorted({part for row in explain(Scenario()) for part in row.key.split(".")})
WORDS = ["[", "]", "[[", "]]", "=", ".", '"', "'", "\n", "{", "}", ",", "1", "0.5", "nan", "true"]
OVERRIDES = st.lists(
    st.tuples(st.lists(st.sampled_from(NAMES) | st.text(max_size=3)), st.text()).map(
        lambda pair: f"{'.'.join(pair[0])}={pair[1]}"
    ),
    max_size=3,
)


def refused_on_one_line(attempt):
    try:
        scenario = attempt()
    except UsageError as error:
        assert str(error).isprintable(), str(error)
    else:
        assert decode(to_toml(scenario), "other.toml") == scenario


@FIXED
@given(st.lists(st.sampled_from(NAMES + WORDS) | st.text(max_size=3)).map("".join), OVERRIDES)
def test_no_text_gives_a_traceback(text, overrides):
    refused_on_one_line(lambda: decode(text, "any.toml", overrides, POINTS))


@FIXED
@given(
    st.dictionaries(
        st.sampled_from(NAMES),
        ANYTHING | st.dictionaries(st.sampled_from(NAMES), ANYTHING, max_size=3),
        max_size=4,
    ),
    OVERRIDES,
)
def test_no_document_gives_a_traceback(document, overrides):
    refused_on_one_line(lambda: from_document(document, "any.toml", overrides, POINTS))
