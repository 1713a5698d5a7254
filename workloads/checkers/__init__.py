"""Invariants and anomalies as small pure checks over what actors report; they import no consumer and no protocol."""

from workloads.checkers.fleet import FleetInspector
from workloads.checkers.inspector import Inspector
from workloads.checkers.registry import ANOMALIES, INVARIANTS, Check
from workloads.plan import Plan

__all__ = ["ANOMALIES", "INVARIANTS", "Check", "Inspector", "checkers"]


def checkers(plan: Plan) -> dict[str, Inspector]:
    """The watcher that holds every check against one partition's observations."""
    return {"inspector": FleetInspector(plan) if plan.arrives else Inspector(plan)}
