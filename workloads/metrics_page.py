"""docs/reference/metrics.md, from the table of families; run as a module it prints the page."""

from collections.abc import Iterable, Iterator

from actors.protocols import PROTOCOLS
from cluster.experiment_metrics import ANSWERS
from cluster.histogram import BOOT_BOUNDS_NS, BOUNDS_NS
from cluster.label_sets import REST, SETS_MAX, Run
from cluster.metrics import EXPERIMENT, FAMILIES, Family
from workloads.markdown import codes, table

HEAD = f"""\
# Metrics

Generated from `cluster/metrics.py` by `python -m workloads.metrics_page`; do not edit.

`gmemsim run --metrics-port PORT` serves these families on `http://127.0.0.1:PORT/metrics` while it
runs; the same text ends up as `metrics.prom` in its results. One run, one exporter.

- Clock: `simulated` families tell of the simulated machines, and their seconds are simulated ones;
  `wall` families tell of the engine, in seconds of the machine that it runs on.
- All label sets exist from the start, with 0. There are at most {SETS_MAX} of them in a family,
  however many hosts and VMs there are: no label names a VM, a page or a conversion.
- Histograms have classic buckets: 1-2-5 in each decade, {{first}} to {{last}} ({{bounds}}), boots
  {{boot_first}} to {{boot_last}} ({{boot_bounds}}). `histogram_quantile` interpolates within a
  bucket; the exact percentiles are in `summary.json`.
"""
# What each label says.
MEANINGS = {
    "anomaly": "id in [docs/domain.md](../domain.md) section 5",
    "consumer": "who was asked, or who failed",
    "direction": "which side the memory goes to",
    "executor": "`engine.executor`",
    "host_group": "hosts by number, at most 16 groups of equal size",
    "invariant": "id in [docs/domain.md](../domain.md) section 6",
    "lock": "in the order in which a conversion meets them",
    "operation": "SEAMCALL",
    "outcome": "of the request, as its guest sees it; of a DMA, at the IOMMU",
    "partition": f"number from 0; `{REST}` is all beyond the first {SETS_MAX - 1}",
    "phase": "of the protocol; of a failure, the stage that it was in",
    "placement": "`engine.placement`",
    "protocol": "the run's one protocol",
    "python": "version of Python",
    "reason": "errno",
    "run_id": "folder of its results, NAME/TIME-SEED",
    "scenario": "`scenario.name`",
    "seed": "`scenario.seed`",
    "stage": "of a request for a VM; `refused` by a host, `queued` for want of one",
    "stat": "over all invalidations so far",
    "version": "version of gmemsim",
}
# Labels whose values the run decides.
OPEN = {
    "partition",
    "host_group",
    "protocol",
    "run_id",
    "scenario",
    "seed",
    "executor",
    "placement",
}
OPEN |= {"version", "python"}
ABOUT, BUILD = FAMILIES["gmemsim_run_info"].labels, FAMILIES["gmemsim_build_info"].labels


def reference() -> str:
    """The page."""
    return "\n".join([*_head(), *_families(), *_labels(), *_failures(), *_experiments()])


def _head() -> Iterator[str]:
    yield HEAD.format(
        first=_span(BOUNDS_NS[0]),
        last=_span(BOUNDS_NS[-1]),
        bounds=len(BOUNDS_NS),
        boot_first=_span(BOOT_BOUNDS_NS[0]),
        boot_last=_span(BOOT_BOUNDS_NS[-1]),
        boot_bounds=len(BOOT_BOUNDS_NS),
    )


def _span(ns: int) -> str:
    for unit, width in (("s", 10**9), ("ms", 10**6), ("us", 10**3)):
        if ns >= width:
            return f"{ns // width} {unit}"
    return f"{ns} ns"


def _families() -> Iterator[str]:
    yield "## Families\n"
    yield from table(("family", "kind", "clock", "unit", "labels", "what"), map(_row, _all()))


def _row(family: Family) -> tuple[str, ...]:
    labels = ", ".join(f"`{name}`" for name in family.labels)
    return f"`{family.name}`", family.kind, family.clock, family.unit, labels, family.text


def _labels() -> Iterator[str]:
    """Where a label has other values in one family than in another, it has a row for each."""
    yield "## Labels\n"
    found: dict[tuple[str, str], list[str]] = {}
    for family in _all():
        sets = list(family.sets(_sample()))
        for place, name in enumerate(family.labels):
            values = "" if name in OPEN else codes(dict.fromkeys(labels[place] for labels in sets))
            found.setdefault((name, values), []).append(family.name)
    rows = [
        (f"`{name}`", MEANINGS[name], values, codes(families))
        for (name, values), families in sorted(found.items())
    ]
    yield from table(("label", "meaning", "values", "in"), rows)


def _failures() -> Iterator[str]:
    yield "## What can fail where\n"
    yield "Label sets of `gmemsim_conversion_failures_total`. No others exist, but for a class that a"
    yield "`[[fault]]` asks for by its `reason`: any row may have that too.\n"
    name = "gmemsim_conversion_failures_total"
    for protocol in PROTOCOLS:
        rows: dict[tuple[str, ...], list[str]] = {}
        for _, phase, consumer, reason in FAMILIES[name].sets(_sample(protocol)):
            rows.setdefault((f"`{protocol}`", f"`{phase}`", f"`{consumer}`"), []).append(reason)
        heads = ("protocol", "phase", "consumer", "reasons")
        yield from table(heads, [(*row, codes(reasons)) for row, reasons in rows.items()])


def _experiments() -> Iterator[str]:
    yield "## Of an experiment\n"
    yield "No run serves these: an experiment has them once it is over, for a Prometheus that is filled"
    yield "afterwards. `experiment` is its name, `measure` one of its measures, `axis` the last of its axes"
    yield "and `at` the value there, `line` the values of the others, `limiting` a resource that it relieves."
    yield f"`answer` is {', '.join(f'`{word}`' for word in ANSWERS)}: the search met a miss beyond the value,"
    yield "or none as far as it looked, or a larger value held again.\n"
    heads = ("family", "kind", "clock", "unit", "labels", "what")
    yield from table(heads, map(_row, EXPERIMENT.values()))


def _sample(protocol: str = "two-phase") -> Run:
    """A run that stands for all."""
    return Run(protocol, 1, ABOUT, BUILD)


def _all() -> Iterable[Family]:
    return FAMILIES.values()


if __name__ == "__main__":
    print(reference(), end="")
