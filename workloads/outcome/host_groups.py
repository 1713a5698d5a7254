"""What a run has told so far, by groups of hosts: few enough for a label, and for a screen."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from cluster.label_sets import group_labels, group_size


class Group(NamedTuple):
    """Requests of its hosts: answered, failed ones among them, and in flight now."""

    answered: int = 0
    failed: int = 0
    in_flight: int = 0


def host_groups(words: Iterable[Mapping[str, Any]], hosts: int) -> dict[str, Group]:
    """Label -> its figures, of the watchers' words so far."""
    size, labels = group_size(hosts), group_labels(hosts)
    found = dict.fromkeys(labels, Group())
    for word in words:
        meter = word["meter"]
        for host, (_, in_flight, bins) in zip(meter["hosts"], meter["timelines"], strict=True):
            label = labels[host // size]
            before = found[label]
            found[label] = Group(
                before.answered + sum(one[1] for one in bins),
                before.failed + sum(one[2] for one in bins),
                before.in_flight + in_flight,
            )
    return found
