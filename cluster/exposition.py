"""Readings as Prometheus' text: the names of series are made once, as each scrape asks for a thousand of them."""

from collections.abc import Iterator, Mapping
from functools import lru_cache

from cluster.histogram import NS
from cluster.label_sets import Labels
from cluster.metrics import FAMILIES, Family, Readings

NAMES_KEPT = 4096  # label sets: of all families of several runs


def exposition(readings: Readings) -> str:
    """All of it, as a scraper sees it."""
    return "".join(_lines(readings))


def _lines(readings: Readings) -> Iterator[str]:
    for family in FAMILIES.values():
        kind = "gauge" if family.kind == "info" else family.kind
        yield f"# HELP {family.name} {family.help}\n# TYPE {family.name} {kind}\n"
        for labels in label_sets(family, readings):
            names, found = _names(family.name, labels), numbers(family, readings, labels)
            yield "".join([f"{name} {number}\n" for name, number in zip(names, found, strict=True)])


def label_sets(family: Family, readings: Readings) -> Mapping[Labels, object]:
    """Those that the family has there."""
    return (readings.bars if family.kind == "histogram" else readings.values)[family.name]


def numbers(family: Family, readings: Readings, labels: Labels) -> tuple[float, ...]:
    """The values of a label set's series; 0 where it is not there yet."""
    if family.kind != "histogram":
        return (readings.values[family.name].get(labels, 0.0),)
    bars = readings.bars[family.name][labels]
    return *bars.below, bars.number, bars.number, bars.seconds


def series(family: Family, labels: Labels, extra: Mapping[str, str]) -> list[str]:
    """The names of a label set's series, in the order of `numbers`; `extra` are further labels."""
    own = dict(zip(family.labels, labels, strict=True)) | dict(extra)
    if family.kind != "histogram":
        return [family.name + _braces(own)]
    bounds = [*(str(bound / NS) for bound in family.bounds), "+Inf"]
    buckets = [f"{family.name}_bucket{_braces(own | {'le': bound})}" for bound in bounds]
    return [*buckets, f"{family.name}_count{_braces(own)}", f"{family.name}_sum{_braces(own)}"]


@lru_cache(NAMES_KEPT)
def _names(family: str, labels: Labels) -> list[str]:
    return series(FAMILIES[family], labels, {})


def _braces(labels: Mapping[str, str]) -> str:
    inner = ",".join(f'{label}="{_escaped(value)}"' for label, value in labels.items())
    return f"{{{inner}}}" if inner else ""


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
