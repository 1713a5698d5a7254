"""Where a summary has figures, by its layout and by the scenario: a path that leads nowhere is told before any run."""

from collections.abc import Callable, Iterable, Mapping
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints, is_typeddict

from actors.contract import ERRNO
from cluster.label_sets import CONSUMERS, DIRECTIONS, PHASES
from workloads.checkers import ANOMALIES, INVARIANTS
from workloads.checks import METRICS
from workloads.experiment.relief import NO_SERVERS, RESOURCES
from workloads.outcome.shape import Summary
from workloads.scenario import Scenario
from workloads.scenario.kinds import Boot
from workloads.wording import nearest, quote

# Tables whose names the layout leaves open, and that are known all the same.
NAMES: Mapping[str, tuple[str, ...]] = {
    "anomalies": tuple(check.id for check in ANOMALIES),
    "invariant_violations": tuple(check.id for check in INVARIANTS),
    "resources": (*RESOURCES, *NO_SERVERS),
    "latency_seconds_by_direction": DIRECTIONS,
    "phases": PHASES,
    "phases.*": CONSUMERS,
    "failures": tuple(dict.fromkeys(ERRNO.values())),
    "failures_by_consumer.*": tuple(dict.fromkeys(ERRNO.values())),
}


def arrives(scenario: Scenario) -> bool:
    """Do VMs come and go?"""
    return scenario.arrivals.kind != "none"


def boots(scenario: Scenario) -> bool:
    """Does any VM boot?"""
    return arrives(scenario) or any(isinstance(load, Boot) for load in scenario.workload)


ARRIVALS = (arrives, "[arrivals]")
# What summaries have where the scenario has it, and what that takes; of others only the runs can tell.
GIVEN: Mapping[str, tuple[Callable[[Scenario], bool], str]] = {
    **dict.fromkeys(("arrivals", "resources.boot_slots", "resources.admission"), ARRIVALS),
    "moves": (lambda one: one.moves.kind != "none", "[moves]"),
    "vms_admitted": (lambda one: one.fleet.reuse == "readmit", 'fleet.reuse = "readmit"'),
    **dict.fromkeys(
        ("boot_seconds", "boot"), (boots, 'a [[workload]] of kind "boot", or [arrivals]')
    ),
}
SHOWN_MAX = 5


def lacks(path: str, scenarios: Iterable[Scenario]) -> str:
    """What a measure's path would take, where none of these scenarios has it; "" where one may."""
    for start, (has, wanted) in GIVEN.items():
        if f"{path}.".startswith(f"{start}.") and not any(map(has, scenarios)):
            return f"found {quote(path)}, which no point has: it takes {wanted}"
    return ""


def wrong(path: str) -> str:
    """What is wrong with a measure's path; "" where it leads to a number or a table of them."""
    kind: Any = Summary
    before = ""
    for part in path.split(".") if path not in METRICS else ():
        below = children(kind, before)
        if below is not None and part not in below:
            known = [f"{before}.{name}".lstrip(".") for name in below]
            return f"found {quote(path)}, which no run has; {likely(path, known)}"
        kind = get_args(kind)[1] if below is None else below[part]
        before = f"{before}.{part}".lstrip(".")
    if path not in METRICS and not countable(kind):
        return f"found {quote(path)}, which is no number; {likely(path, list(METRICS))}"
    return ""


def children(kind: Any, path: str) -> Mapping[str, Any] | None:
    """Names below, with what they are; None where any may be."""
    if is_typeddict(kind):
        return get_type_hints(kind)
    if get_origin(kind) is dict:
        table, *below = path.split(".")
        names = NAMES.get(".".join((table, *("*" for _ in below))))
        return dict.fromkeys(names, get_args(kind)[1]) if names else None
    return {}


def countable(kind: Any) -> bool:
    """Is it a number, or a table with numbers in it?"""
    kinds = get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)
    return bool({int, float} & set(kinds)) or is_typeddict(kind) or get_origin(kind) is dict


def likely(path: str, known: list[str]) -> str:
    """What may have been meant."""
    close = nearest(path, [*known, *METRICS])
    some = ", ".join((known or list(METRICS))[:SHOWN_MAX])
    return f"nearest: {close}" if close else f"expected one such as {some}"
