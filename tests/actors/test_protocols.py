"""Every protocol's table, under every combination of the options that change it: complete, closed, and with an end."""

from collections import Counter
from itertools import product
from math import prod

import pytest

from actors.gmem import ask as gmem_ask
from actors.gmem import steps as gmem_steps
from actors.gmem.conversion import Conversion
from actors.gmem.inode import Gmem
from actors.intervals import IntervalMap
from actors.protocols import INDEX, PROTOCOLS, Event, FileOptions, Stage, key_of
from tests.helpers import PRIVATE, SHARED, Recorder


def variants(name):
    """The protocol's name under each choice of the options that change its rows, for one file and for two."""
    table = PROTOCOLS[name]
    choices = [
        [{}, *({option: each.value} for each in table.variants if each.option == option)]
        for option in dict.fromkeys(variant.option for variant in table.variants)
    ]
    for chosen in product(*choices):
        said = {option: value for part in chosen for option, value in part.items()}
        for files in (1, 2):
            yield key_of(name, FileOptions(**plain(name) | said, files=files))


def plain(name):
    """Options under which none of the protocol's variants is taken."""
    other = {True: False, False: True, "commit": "prepare", "remap": "leave"}
    return {each.option: other.get(each.value, "none") for each in PROTOCOLS[name].variants}


KEYS = [key for name in PROTOCOLS for key in variants(name)]
ROWS = [(name, row) for name, table in PROTOCOLS.items() for row in table.rows] + [
    (name, row)
    for name, table in PROTOCOLS.items()
    for variant in table.variants
    for row in variant.rows
]
every_table = pytest.mark.parametrize("key", KEYS)
every_row = pytest.mark.parametrize(
    "row",
    [row for _, row in ROWS],
    ids=[f"{name}-{r.stage.name}-{r.event.name}" for name, r in ROWS],
)
each_way = pytest.mark.parametrize("to", [SHARED, PRIVATE], ids=lambda to: to.name)


def test_the_options_make_this_many_tables():
    values = [Counter(each.option for each in t.variants).values() for t in PROTOCOLS.values()]
    chosen = sum(prod(n + 1 for n in counts) for counts in values)
    assert len(KEYS) == len(set(KEYS)) == 2 * chosen  # for one file and for two


@every_row
def test_a_rows_action_exists(row):
    assert row.action in gmem_steps.ACTIONS


@every_row
def test_a_row_names_consumers_where_its_action_asks_them_and_nowhere_else(row):
    assert bool(row.who) == (row.action in gmem_ask.ASKS)
    assert len(set(row.who)) == len(row.who)


@each_way
@every_table
def test_what_has_no_row_is_an_error(key, to):
    nothing = IntervalMap.filled(0)
    file = Gmem(0, key, (), 0, 1, 0, nothing, nothing, nothing)
    missing = [pair for pair in product(Stage, Event) if pair not in INDEX[key, to]]
    assert missing
    for stage, event in missing:
        with pytest.raises(KeyError):
            file.drive(Conversion(1, 0, 1, to, 0, stage=stage), event, Recorder())


def reached(key, to):
    """Stages that a conversion in this direction can come to, with those that each can go on to."""
    after: dict[Stage, set[Stage]] = {stage: set() for stage in Stage}
    for (stage, _), row in INDEX[key, to].items():
        after[stage].add(row.then)
    found, frontier = {Stage.WAITING}, {Stage.WAITING}
    while frontier:
        frontier = {then for stage in frontier for then in after[stage]} - found
        found |= frontier
    return {stage: after[stage] for stage in found}


@pytest.mark.parametrize("name", PROTOCOLS)
def test_every_stage_of_a_protocol_is_reached_in_some_direction_under_some_options(name):
    ways = [(key, to) for key in variants(name) for to in (SHARED, PRIVATE)]
    stages = {stage for way in ways for stage, _ in INDEX[way]}
    assert {stage for way in ways for stage in reached(*way)} == stages | {Stage.REPLIED}


@each_way
@every_table
def test_from_every_stage_there_is_a_way_to_the_reply(key, to):
    after = reached(key, to)
    assert [stage for stage in after if not after[stage]] == [Stage.REPLIED]
    ends = {Stage.REPLIED}
    while more := {stage for stage in after if after[stage] & ends} - ends:
        ends |= more
    assert ends == set(after)


def test_a_table_is_named_as_scenarios_name_it():
    assert [table.name for table in PROTOCOLS.values()] == list(PROTOCOLS)
