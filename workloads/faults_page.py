"""docs/reference/faults.md, from the tables of points and of scenario keys; run as a module it prints the page."""

from collections.abc import Iterator
from typing import NamedTuple

from actors.contract import ERRNO
from cluster.fault_points import CLASSES, FAULT_POINTS, PHASES, WORDS, FaultPoint
from workloads.markdown import codes, table
from workloads.scenario.keys import Entry, entries
from workloads.scenario.sections import Fault
from workloads.scenario.values import literal

HEAD = """\
# Faults

Generated from `cluster/fault_points.py` and `workloads/scenario/sections.py` by
`python -m workloads.faults_page`; do not edit.

Without `[[fault]]` nothing is injected: what fails then follows from the state, such as an empty
pool, a pin, a held lock or a stuck queue. Each `[[fault]]` is a rule about one point.

- **Opportunity.** A point has many: each reservation, each leaf to split, each page to remove.
  They come in batches. The first one that fails ends its batch; those behind it were not tried,
  and count when somebody tries them again. A second try at the same page is another opportunity.
- **Scope.** A rule covers an opportunity when the time lies in `from` to `until`, the VM's host is
  one of `hosts` and its number there one of `vms`, and the guest memory that it is about meets
  `range`. `vms = 7` alone is VM 7 of every host; `hosts = 0` and `vms = 7` is the one that findings
  call h0/v7; VMs with other numbers on other hosts are a rule of their own. The memory is the
  conversion's for a reservation or a question to the IOMMU, the folio's or leaf's for a split, the
  page's for a SEAMCALL or a pin. Only opportunities of a batch that meet the range can fail.
- **Probability.** Each opportunity that is covered fails with `probability`. Chance is drawn from
  the seed, the rule and the opportunity's name (VM, operation, page, attempt), so that the same
  one meets the same fate under every protocol, whatever went before.
- **Schedule.** `nth` and `every` count the opportunities that the rule covers, in each VM by
  itself, from 1, in the VM's own order; that is the same on every executor.
- **Duration.** Once the rule has struck a VM, whatever it covers there fails until `lasts` is
  over, at the points of `also` too: memory that stays short, a lock that stays held. So a way back
  can fail for the reason that made it necessary. Then chance or schedule decides again, and a
  schedule has counted on. (Points of an undo are only met after a failure: the `probability` of a
  rule of their own is how likely an undo fails, given that.)
- **Class.** `reason` says what kind of failure it is, whatever is natural at the point.

Where several rules cover a point, the first opportunity that any of them strikes fails; if it is
the same one, the rule that stands first says how.
"""


class Example(NamedTuple):
    """A rule with the words around it."""

    title: str
    rule: str
    seen: str


EXAMPLES = (
    Example(
        "By probability",
        'point = "kvm.split_memory"\nprobability = 0.01',
        "One in a hundred leaves to split finds no page. KVM says no in PREPARE, guest_memfd aborts, the VMM sees "
        "ENOMEM and tries again.",
    ),
    Example(
        "By schedule: the third demote of one VM",
        'point = "tdx.interrupted"\nnth = 3\nhosts = 0\nvms = 7',
        "In VM 7 of host 0 the third PAGE.DEMOTE is interrupted; without `hosts` it is that of VM 7 of every host. The "
        "leaf is unblocked, the conversion fails with EINTR; the next try is the fourth DEMOTE and works.",
    ),
    Example(
        "By schedule: one in so many",
        'point = "tdx.busy"\nevery = 100',
        "In each VM RANGE.BLOCK number 100, 200, 300, ... finds the tree lock held. KVM kicks all vCPUs out and "
        "tries once more, which works: it is number 101.",
    ),
    Example(
        "By host and VM",
        'point = "gmem.tree"\nprobability = 0.02\nhosts = 0\nvms = [0, 1]',
        "Only two VMs of the first host are ever short of tree nodes.",
    ),
    Example(
        "By range of guest memory",
        'point = "tdx.bug"\nrange = ["1GiB", "1028MiB"]',
        "The first conversion to shared that removes a page of these 4 MiB meets a bug at the first such page, "
        "and at none before it. That page is poisoned and the VM is lost.",
    ),
    Example(
        "In a window",
        'point = "pins.long"\nprobability = 0.5\nfrom = "1ms"\nuntil = "2ms"',
        "For a millisecond of simulated time nearly every range that is to become private has a page pinned.",
    ),
    Example(
        "With a duration",
        'point = "alloc.pages"\nprobability = 0.01\nlasts = "3ms"',
        "Once in a while the pool is empty for a VM, and for 3 ms it stays so: first tries and second ones fail, "
        "and what the VMM tries after that works.",
    ),
    Example(
        "With what follows from it",
        'point = "gmem.vmemmap"\nprobability = 0.02\nlasts = "1ms"\nalso = ["gmem.undo_tree"]',
        "Memory that is short when a folio is to be split is still short when protocol `undo` wants to take its store "
        "back: the conversion has failed and the range stays shared (AN4). Other protocols do not undo a store.",
    ),
    Example(
        "A VMM that is killed",
        'point = "vmm.kill"\nprobability = 1e-6\nvms = 3',
        "VM 3 of each host is killed once in a second that it spends on conversions, at any instant of one. What the "
        "kernel has begun it finishes, so under two-phase the conversion is decided before the file is closed.",
    ),
    Example(
        "Of another class",
        'point = "tdx.remove_busy"\nreason = "interrupted"\nnth = [50]',
        "PAGE.REMOVE number 50 of each VM is interrupted, which no module does. KVM may not fail there, so the "
        "page is poisoned and the VM is lost: a failure after the decision that is no bug (AN28).",
    ),
)


def reference() -> str:
    """The page."""
    return "\n".join([HEAD, *_keys(), *_points(), *_phases(), *_classes(), *_examples()])


def _keys() -> Iterator[str]:
    yield "## Keys\n"
    rows = [_key(name, entry) for name, entry in entries(Fault).items()]
    yield from table(("key", "default", "unit", "meaning"), rows)


def _key(name: str, entry: Entry) -> tuple[str, ...]:
    unit = entry.key.unit.replace(" | ", ", ")
    return f"`{name}`", f"`{literal(entry.key, entry.default)}`", unit, entry.key.meaning


def _points() -> Iterator[str]:
    yield "## Points\n"
    yield "`met` are the classes that a kernel can meet there; the first is the point's own. `registry`"
    yield "is [docs/domain.md](../domain.md) section 12. `gmemsim list faults` prints the same.\n"
    heads = ("point", "phase", "met", "registry", "meaning")
    yield from table(heads, map(_point, FAULT_POINTS.values()))


def _point(point: FaultPoint) -> tuple[str, ...]:
    met = codes(WORDS[reason] for reason in point.classes)
    return f"`{point.name}`", ", ".join(point.phases), met, ", ".join(point.registry), point.meaning


def _phases() -> Iterator[str]:
    yield "## Phases\n"
    yield "What a failure does depends on the phase more than on the class.\n"
    rows = [(name, phase.when, phase.then) for name, phase in PHASES.items()]
    yield from table(("phase", "when", "a failure there"), rows)


def _classes() -> Iterator[str]:
    yield "## Classes\n"
    yield "A VMM tries again after all but a bug (`vmm.retry`); a bug ends its VM.\n"
    rows = [(f"`{word}`", f"F{reason}", f"`{ERRNO[reason]}`") for word, reason in CLASSES.items()]
    yield from table(
        ("`reason`", "in [docs/domain.md](../domain.md) section 3", "the VMM sees"), rows
    )


def _examples() -> Iterator[str]:
    yield "## Examples"
    for example in EXAMPLES:
        yield f"\n### {example.title}\n"
        yield f"```toml\n[[fault]]\n{example.rule}\n```\n"
        yield example.seen
    yield ""


if __name__ == "__main__":
    print(reference(), end="")
