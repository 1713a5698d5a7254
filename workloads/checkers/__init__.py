"""Invariants and anomalies as small pure checks over what actors report; they import no consumer and no protocol."""

from workloads.checkers.fleet import FleetInspector
from workloads.checkers.inspector import Inspector
from workloads.checkers.moves import MovesInspector
from workloads.checkers.registry import ANOMALIES, INVARIANTS, Check
from workloads.plan import Plan

__all__ = ["ANOMALIES", "INVARIANTS", "Check", "Inspector", "checkers"]


def checkers(plan: Plan) -> dict[str, Inspector]:
    """The watcher that holds every check against one partition's observations."""
    kind = MovesInspector if plan.moves else FleetInspector if plan.arrives else Inspector
    return {"inspector": kind(plan)}
