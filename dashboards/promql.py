"""The PromQL that boards have in common."""

import re

from cluster.metrics import EXPERIMENT, FAMILIES
from dashboards.board import CHOSEN, OF_THE_RUN
from dashboards.panels import Query

SUFFIX = re.compile("_(bucket|count|sum)$")
WINDOW = "$__rate_interval"
RANGE = "$__range"
SIMULATED = f"sum(deriv(gmemsim_engine_simulated_seconds{{{OF_THE_RUN}}}[{WINDOW}]))"
EVENTS = f"sum(rate(gmemsim_engine_events_total{{{OF_THE_RUN}}}[{WINDOW}]))"


def of(family: str, *labels: str) -> str:
    """The family in the chosen runs; of the chosen protocols and hosts, where it has these labels."""
    known = (FAMILIES | EXPERIMENT)[SUFFIX.sub("", family)].labels
    chosen = [text for label, text in CHOSEN.items() if label in known]
    return f"{family}{{{', '.join((OF_THE_RUN, *chosen, *labels))}}}"


def total(family: str, by: str = "", *labels: str) -> str:
    """What a counter or a gauge has come to."""
    return f"sum{_by(by)}({of(family, *labels)})"


def latest(family: str, by: str, *labels: str) -> str:
    """What it came to last within the time range; for a table, which looks at the end of the range alone."""
    return f"sum{_by(by)}(last_over_time({of(family, *labels)}[{RANGE}]))"


def per_second(family: str, by: str = "", *labels: str) -> str:
    """A counter's growth by wall time."""
    return f"sum{_by(by)}(rate({of(family, *labels)}[{WINDOW}]))"


def quantile(share: float, histogram: str, by: str = "", *labels: str) -> str:
    """Of what was observed lately; between two bounds of the histogram it is interpolated."""
    keep = f"le, {by}" if by else "le"
    buckets = of(f"{histogram}_bucket", *labels)
    return f"histogram_quantile({share}, sum by ({keep}) (rate({buckets}[{WINDOW}])))"


def percentiles(histogram: str, *labels: str) -> list[Query]:
    """p50, p90 and p99."""
    return [Query(quantile(q / 100, histogram, "", *labels), f"p{q}") for q in (50, 90, 99)]


def ratio(above: str, below: str) -> str:
    """Nothing over nothing is nothing, not NaN."""
    return f"{above} / ({below} > 0)"


def _by(labels: str) -> str:
    return f" by ({labels}) " if labels else ""
