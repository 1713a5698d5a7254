"""What several boards say of anomalies and invariants."""

from dashboards.board import Event
from dashboards.panels import RED, Panel, Query, number
from dashboards.promql import of, total

BROKEN = "gmemsim_invariant_violations_total"
SEEN = "gmemsim_anomalies_total"


def violated() -> Panel:
    """The verdict in one figure."""
    return number(
        "Invariants violated",
        "Good is 0. Anything else is a bug of a protocol or of gmemsim, and the run's verdict is "
        "violated: see anomalies.jsonl of its results for who did what.",
        Query(total(BROKEN), "violations"),
        "none",
        (1, RED),
    )


def grown(family: str, by: str) -> str:
    """Where a counter has grown since the second before."""
    return f"sum by ({by}) (increase({of(family)}[5s])) > 0"


ANOMALY_SEEN = Event(
    "anomalies", grown(SEEN, "anomaly, protocol"), "{{anomaly}} under {{protocol}}", "orange"
)
INVARIANT_BROKEN = Event("violations", grown(BROKEN, "invariant"), "{{invariant}} violated", "red")
