"""The fault plan: chance by name, schedules by count, scope, duration and class; what a checkpoint needs of it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.address import vm_address
from actors.contract import Fault, Reason, opportunity
from cluster.faults import LIKELIEST, FaultPlan, FaultRule, first_failure

VM, OTHER = vm_address(0, 7), vm_address(0, 8)
POINT = "tdx.demote_busy"
ORDERED = settings(derandomize=True, max_examples=300, deadline=None)


def plan(*rules):
    return FaultPlan(1, [FaultRule(POINT, **rule) for rule in rules])


def ask(found, count=1, *, vm=VM, page=0, now=0, span=1, places=None, op=3, attempt=0, point=POINT):
    """What strikes first of a batch; its place in it, or None."""
    fault = found.choose(point, count, opportunity(vm, op, page, attempt), now, span, places)
    return fault and fault.first


# --- chance --------------------------------------------------------------------------------------


@ORDERED
@given(
    st.floats(0, 1, exclude_max=True), st.floats(1e-12, 1) | st.just(1e-4), st.integers(1, 1 << 28)
)
def test_a_draw_that_is_passed_over_without_logarithms_would_not_have_struck(draw, chance, count):
    near = min(draw, count * chance)  # where the two would differ, if they did
    for number in (draw, near):
        assert (
            number >= 1
            or first_failure(number, chance) >= count
            or number < LIKELIEST * count * chance
        )


def test_without_a_rule_for_the_point_nothing_strikes():
    found = plan({"probability": 1.0})
    assert found.choose("tdx.bug", 512, opportunity(VM, 3), 0) is None
    assert set(found.armed) == {POINT}


def test_a_rule_that_never_strikes_is_none():
    assert plan({"probability": 0.0}).armed == {}


def test_the_same_opportunity_meets_the_same_fate_whatever_went_before():
    first, second = plan({"probability": 0.2}), plan({"probability": 0.2})
    keys = [{"page": page, "attempt": attempt} for page in range(40) for attempt in range(3)]
    fates = [ask(first, 8, **key) for key in keys]
    assert fates == [ask(second, 8, **key) for key in reversed(keys)][::-1]
    assert len(set(fates)) > 5


@pytest.mark.parametrize("probability", [0.001, 0.02, 0.5])
def test_a_batch_fails_as_often_as_its_opportunities_would(probability):
    found = plan({"probability": probability})
    tried = 4000
    struck = sum(ask(found, 8, page=page) is not None for page in range(tried))
    expected = 1 - (1 - probability) ** 8
    assert abs(struck / tried - expected) < 4 * (expected * (1 - expected) / tried) ** 0.5


# --- schedules -----------------------------------------------------------------------------------


def test_the_third_of_vm_7_and_no_other():
    found = plan({"nth": (3,), "vms": (7,)})
    assert [ask(found) for _ in range(5)] == [None, None, 0, None, None]
    assert [ask(found, vm=OTHER) for _ in range(5)] == [None] * 5


def test_each_vm_has_its_own_count():
    found = plan({"nth": (2,)})
    assert [ask(found, vm=vm) for vm in (VM, OTHER, VM, OTHER)] == [None, None, 0, 0]


def test_one_in_so_many_is_the_last_of_them():
    found = plan({"every": 3})
    assert [ask(found) for _ in range(7)] == [None, None, 0, None, None, 0, None]


def test_a_batch_counts_as_its_opportunities_up_to_the_one_that_fails():
    found = plan({"nth": (5, 7)})
    assert [ask(found, n) for n in (3, 4, 1, 4)] == [None, 1, None, 0]


def test_what_another_rule_cuts_off_is_not_counted():
    found = plan({"nth": (2,)}, {"nth": (4,)})
    assert [ask(found, n) for n in (10, 10, 10)] == [1, 1, None]


def test_only_what_the_rule_covers_is_counted():
    found = plan({"nth": (2,), "start": 100, "until": 200})
    assert [ask(found, now=now) for now in (0, 99, 100, 199)] == [None, None, None, 0]


# --- scope ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "covered"),
    [
        ({"hosts": (0,)}, True),
        ({"hosts": (1,)}, False),
        ({"vms": (7,)}, True),
        ({"vms": (8,)}, False),
        ({"start": 50}, True),
        ({"start": 51}, False),
        ({"until": 51}, True),
        ({"until": 50}, False),
        ({"pages": (0x10, 0x11)}, True),
        ({"pages": (0x11, 0x12)}, False),
        ({"pages": (0, 0x10)}, False),
    ],
)
def test_a_rule_strikes_where_it_covers(rule, covered):
    assert (ask(plan(rule), page=0x10, now=50) == 0) is covered


@pytest.mark.parametrize(
    ("pages", "first"),
    [
        ((0x10, 0x20), 0),
        ((0x14, 0x18), 4),
        ((0, 0x11), 0),
        ((0x1F, 0x30), 15),
        ((0x20, 0x30), None),
    ],
)
def test_of_a_batch_that_straddles_the_range_only_what_is_inside_strikes(pages, first):
    assert ask(plan({"pages": pages}), 16, page=0x10) == first


@ORDERED
@given(
    st.integers(0, 40),
    st.integers(1, 9),
    st.integers(1, 12),
    st.integers(0, 60),
    st.integers(1, 30),
)
def test_a_batch_that_lies_in_a_row_is_not_looked_at_one_by_one(first, span, count, low, width):
    rule = FaultRule(POINT, pages=(low, low + width))
    places = [(first + n * span, first + (n + 1) * span) for n in range(count)]
    assert list(rule.within(first, span, count)) == list(rule.inside(places))


def test_a_range_in_a_batch_of_a_tebibyte_is_found_at_once():
    assert ask(plan({"pages": (1 << 27, 1 << 28)}), 1 << 28) == 1 << 27


@pytest.mark.parametrize(
    ("pages", "first"), [((0x3FF, 0x400), 0), ((0x400, 0x401), 1), ((0x601, 0x602), 2)]
)
def test_a_leaf_is_inside_when_any_of_its_pages_is(pages, first):
    assert ask(plan({"pages": pages}), 3, page=0x200, span=0x200) == first


def test_opportunities_need_not_follow_one_another():
    found = plan({"pages": (0x900, 0xA00)})
    assert ask(found, 2, places=iter([(0x200, 0x400), (0x800, 0xA00)])) == 1


def test_what_is_about_no_memory_is_in_no_range():
    assert ask(plan({"pages": (0, 1 << 40)}), places=[(0, 0)]) is None


def test_a_schedule_counts_within_its_range():
    found = plan({"nth": (3,), "pages": (0x12, 0x16)})
    assert [ask(found, 4, page=page) for page in (0x10, 0x10, 0x14)] == [None, 2, None]


def test_chance_strikes_within_its_range():
    found = plan({"probability": 0.5, "pages": (0x12, 0x14)})
    fates = {ask(found, 8, page=0x10, op=op) for op in range(100)}
    assert fates == {2, 3, None}


# --- duration ------------------------------------------------------------------------------------


def test_once_it_has_struck_it_strikes_until_the_time_is_over():
    found = plan({"nth": (2,), "lasts": 100})
    fates = [ask(found, now=now) for now in (0, 50, 51, 149, 150, 151)]
    assert fates == [None, 0, 0, 0, None, None]


def test_the_time_begins_with_the_strike_and_is_not_put_off_by_those_within_it():
    found = plan({"every": 4, "lasts": 10})
    assert [ask(found, now=now) for now in (0, 1, 2, 3, 12, 13, 14, 15)] == (
        [None, None, None, 0, 0, None, None, 0]
    )


def test_it_lasts_for_the_vm_that_was_struck():
    found = plan({"nth": (1,), "lasts": 100, "vms": (7,)})
    assert (ask(found, now=5), ask(found, vm=OTHER, now=6), ask(found, now=7)) == (0, None, 0)


def test_what_lasts_stays_within_range_and_window():
    found = plan({"nth": (1,), "lasts": 100, "pages": (4, 6), "until": 50})
    assert ask(found, 8, now=10) == 4
    assert ask(found, 8, now=20) == 4
    assert ask(found, 4, now=30) is None
    assert ask(found, 8, now=50) is None


def test_a_strike_that_another_one_comes_before_has_not_happened():
    found = plan({"nth": (1,)}, {"nth": (3,), "lasts": 100})
    assert [ask(found, 4, now=now) for now in (0, 1, 2)] == [0, 1, 0]


def test_chance_may_last_too():
    found = plan({"probability": 0.01, "lasts": 1000})
    fates = [ask(found, now=now, op=now) for now in range(3000)]
    first = fates.index(0)
    assert fates[first : first + 1000] == [0] * 1000
    assert None in fates[first + 1000 :]


# --- further points ------------------------------------------------------------------------------

UNDO = "gmem.undo_tree"


def test_while_it_lasts_further_points_fail_too_and_not_before_or_after():
    found = plan({"nth": (2,), "lasts": 100, "also": (UNDO,)})
    asked = [(UNDO, 0), (POINT, 1), (POINT, 2), (UNDO, 50), (UNDO, 101), (UNDO, 102)]
    fates = [ask(found, now=now, point=point) for point, now in asked]
    assert fates == [None, None, 0, 0, 0, None]


def test_what_follows_stays_in_the_vm_that_was_struck_and_in_range_and_window():
    found = plan({"nth": (1,), "lasts": 100, "also": (UNDO,), "pages": (0, 9), "until": 50})
    assert ask(found) == 0
    assert ask(found, point=UNDO, vm=OTHER, now=1) is None
    assert ask(found, 4, point=UNDO, page=7, now=1) == 0
    assert ask(found, 4, point=UNDO, page=9, now=1) is None
    assert ask(found, point=UNDO, now=50) is None


def test_what_follows_is_not_counted_and_has_its_own_points_class():
    found = plan({"nth": (1, 2), "lasts": 1, "also": (UNDO,)})
    ask(found)
    assert found.choose(UNDO, 1, opportunity(VM, 3), 0) == Fault(Reason.NO_MEMORY, 0)
    assert (ask(found, now=1), ask(found, now=2)) == (0, None)


def test_what_follows_follows_after_a_restore_too():
    before, after = (plan({"nth": (1,), "lasts": 100, "also": (UNDO,)}) for _ in range(2))
    ask(before)
    after.restore(before.snapshot())
    assert (ask(after, point=UNDO, now=99), ask(after, point=UNDO, now=100)) == (0, None)


# --- counts --------------------------------------------------------------------------------------


def test_chance_is_counted_up_to_the_failure_like_everything_else():
    found = plan({"probability": 0.1})
    fates = [ask(found, 8, page=page) for page in range(500)]
    met = sum(8 if fate is None else fate + 1 for fate in fates)
    assert found.counts() == [[0, 0, met, sum(fate is not None for fate in fates)]]
    assert 100 < found.counts()[0][3] < 400


@pytest.mark.parametrize(
    "rule", [{"pages": (0x900, 0xA00)}, {"vms": (9,)}, {"start": 99}, {"nth": (1,), "hosts": (1,)}]
)
def test_a_rule_that_covers_nothing_meets_nothing(rule):
    found = plan(rule)
    assert ask(found, 8) is None
    assert found.counts() == [[0, 0, 0, 0]]


def test_a_number_that_is_never_reached_is_met_and_does_not_strike():
    found = plan({"nth": (900,)})
    ask(found, 8)
    assert found.counts() == [[0, 0, 8, 0]]


def test_what_another_rule_strikes_first_is_no_strike():
    found = plan({"probability": 1.0}, {"nth": (1,), "reason": Reason.BUG})
    ask(found, 4)
    assert found.counts() == [[0, 0, 1, 1], [1, 0, 1, 0]]


def test_further_points_are_met_while_it_lasts():
    found = plan({"nth": (2,), "lasts": 100, "also": (UNDO,)})
    for point, now in [(UNDO, 0), (POINT, 1), (POINT, 2), (UNDO, 50), (UNDO, 60), (UNDO, 102)]:
        ask(found, now=now, point=point)
    assert found.counts() == [[0, 0, 2, 1], [0, 1, 2, 2]]


def test_counts_of_partitions_add_up():
    rules = ({"probability": 0.3}, {"every": 3, "lasts": 2})
    whole, parts = plan(*rules), [plan(*rules), plan(*rules)]
    for now in range(40):
        for vm, part in zip((VM, OTHER), parts, strict=True):
            for found in (whole, part):
                ask(found, 2, vm=vm, now=now, op=now)
    each = zip(*(part.counts() for part in parts), strict=True)
    assert whole.counts() == [[n, 0, a[2] + b[2], a[3] + b[3]] for n, (a, b) in enumerate(each)]


# --- class ---------------------------------------------------------------------------------------


def test_a_failure_has_the_class_of_its_rule_or_the_points_own():
    found = plan({"nth": (1,)}, {"nth": (2,), "reason": Reason.BUG})
    assert found.choose(POINT, 1, opportunity(VM, 3), 0) == Fault(Reason.BUSY, 0)
    assert found.choose(POINT, 1, opportunity(VM, 3), 0) == Fault(Reason.BUG, 0)


def test_of_two_rules_that_strike_together_the_first_one_says_how_and_both_last():
    found = plan({"nth": (1,), "reason": Reason.TIMEOUT}, {"nth": (1,), "lasts": 9})
    assert found.choose(POINT, 1, opportunity(VM, 3), 0) == Fault(Reason.TIMEOUT, 0)
    assert found.choose(POINT, 1, opportunity(VM, 3), 8) == Fault(Reason.BUSY, 0)


# --- against a plan that looks at each opportunity by itself -------------------------------------

RULES = st.fixed_dictionaries(
    {},
    optional={
        "nth": st.lists(st.integers(1, 30), min_size=1, unique=True).map(
            lambda n: tuple(sorted(n))
        ),
        "every": st.integers(1, 9),
        "lasts": st.integers(1, 20),
        "start": st.integers(0, 10),
        "until": st.integers(11, 40),
        "pages": st.tuples(st.integers(0, 9), st.integers(1, 9)).map(lambda p: (p[0], sum(p))),
    },
).filter(lambda rule: ("nth" in rule) != ("every" in rule))
# (VM, first page, opportunities)
BATCHES = st.lists(
    st.tuples(st.sampled_from([VM, OTHER]), st.integers(0, 12), st.integers(1, 8)), max_size=40
)


def one_by_one(rules, batches, counts, strikes):
    """The fates, from a count for each rule and VM that every single opportunity moves on."""
    ends: dict[tuple[int, int], int] = {}
    for now, (vm, page, count) in enumerate(batches):
        struck = None
        for place in range(count):
            for number, rule in enumerate(rules):
                low, high = rule.get("pages", (0, 99))
                window = rule.get("start", 0) <= now < rule.get("until", 99)
                if not window or not low <= page + place < high:
                    continue
                here = number, vm
                counts[here] = counts.get(here, 0) + 1
                named = counts[here] in rule.get("nth", ())
                named |= "every" in rule and counts[here] % rule["every"] == 0
                lasting = now < ends.get(here, 0)
                if named or lasting:
                    if struck is None:
                        strikes[number] = strikes.get(number, 0) + 1
                    struck = place
                    if not lasting:
                        ends[here] = now + rule.get("lasts", 0)
            if struck is not None:
                break
        yield struck


@ORDERED
@given(st.lists(RULES, min_size=1, max_size=3), BATCHES)
def test_batches_fail_as_their_opportunities_would_one_by_one(rules, batches):
    found = plan(*rules)
    counts: dict[tuple[int, int], int] = {}
    strikes: dict[int, int] = {}
    fates = [ask(found, n, vm=vm, page=page, now=now) for now, (vm, page, n) in enumerate(batches)]
    assert fates == list(one_by_one(rules, batches, counts, strikes))
    assert found.counts() == [
        [n, 0, counts.get((n, VM), 0) + counts.get((n, OTHER), 0), strikes.get(n, 0)]
        for n in range(len(rules))
    ]


@ORDERED
@given(st.lists(RULES, min_size=1, max_size=3), BATCHES, st.integers(0, 40))
def test_a_plan_that_is_restored_goes_on_as_if_nothing_had_been(rules, batches, cut):
    whole, before, after = plan(*rules), plan(*rules), plan(*rules)
    for now, (vm, page, count) in enumerate(batches):
        if now == cut:
            after.restore(before.snapshot())
        half = before if now < cut else after
        fates = [ask(found, count, vm=vm, page=page, now=now) for found in (whole, half)]
        assert fates[0] == fates[1]
    assert whole.counts() == (after if cut < len(batches) else before).counts()


def test_a_snapshot_is_plain_and_in_order():
    found = plan({"probability": 0.5}, {"nth": (2,), "lasts": 100})
    for vm in (OTHER, VM, VM):
        ask(found, vm=vm, now=7)
    struck = sum(ask(plan({"probability": 0.5}), vm=VM) is not None for _ in range(2))
    assert found.snapshot()[2:] == [[1, 0, VM, 2, 1, 107], [1, 0, OTHER, 1, 0, 0]]
    assert found.snapshot()[0] == [0, 0, VM, 2, struck, 0]


def test_restoring_forgets_what_was_there():
    found = plan({"nth": (1,)})
    ask(found)
    found.restore([])
    assert (found.snapshot(), ask(found)) == ([], 0)
