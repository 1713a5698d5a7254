"""Moves of a VM message by message: between the controller, the agents of both hosts, the loads, and who takes part."""

from collections.abc import Sequence
from typing import NamedTuple

from actors import messages as m
from actors.address import LOAD, name_of, vm_of
from actors.contract import Message
from actors.fleet import messages as f
from actors.fleet import move_messages as v
from actors.fleet.messages import No
from actors.fleet.move_messages import Phase, Ranges, Timer
from actors.fleet.move_observations import (
    HostEmptied,
    ImageTold,
    MoveChanged,
    MoveSettled,
    VcpusStopped,
)
from cluster.batch import message_types
from tests.fleets import Fleet
from tests.transcripts.playing import page

# One VM on host 0, and a second host that it can go to.
ALONE = (
    "fleet.hosts=2",
    "fleet.vms_per_host=1",
    "fleet.reuse=readmit",
    "fleet.generations=3",
    "vm.start=unaccepted",
    "vm.vcpus=2",
    "arrivals.kind=closed",
    "arrivals.population=1",
    "arrivals.policy=first-fit",
    "arrivals.lifetime=1h",
    "moves.kind=evacuate",
    "moves.hosts=0",
    "moves.at=10ms",
    "moves.away=1h",
    "moves.pause=1h",
    "moves.patience=1s",
    "scenario.duration=20ms",
    'workload=[{kind="churn",outstanding=3,think="4ms",size_mean="256KiB"}]',
    'costs.override={"boot_fixed"="1ms","hkid_reclaim"="300us"}',
)


class Story(NamedTuple):
    """`overrides` make it happen; `last` is the phase that the move ends with."""

    about: str
    last: Phase
    overrides: tuple[str, ...] = ()


STORIES = {
    "moved": Story(
        "The host is evacuated, and its VM moves: a place and frames at the target, vCPUs that come to rest, the "
        "image, its way over the link, shared memory converted and private memory accepted. Only when it runs does "
        "the source let go of it.",
        Phase.RELEASED,
    ),
    "turned_away": Story(
        "The target has no memory for it. The vCPUs have not even been stopped.",
        Phase.REFUSED,
        ('fault=[{point="move.refused",probability=1.0}]',),
    ),
    "not_quiet": Story(
        "A conversion is under way in the VM, and takes longer than anybody has patience: vCPUs go on, and the target "
        "gives its frames back.",
        Phase.NOT_QUIET,
        ("moves.patience=1ms",),
    ),
    "transfer_fails": Story(
        "The link fails half way. Not all of it has been sent, so the source may say by itself that the VM stays.",
        Phase.BROKEN,
        ('fault=[{point="move.transfer",probability=1.0}]',),
    ),
    "import_fails": Story(
        "All of it has crossed the link, and the target cannot convert what was shared: no memory for the attribute. "
        "It gives the VM up, and its word lets the source go on. Nothing is lost.",
        Phase.BACK,
        ('fault=[{point="gmem.tree",probability=1.0,hosts=[1]}]', "vmm.retry=report"),
    ),
    "target_dies": Story(
        "A bug of the target's TDX module ends the TD while it imports. No loss: the VM still is at the source.",
        Phase.BACK,
        ('fault=[{point="tdx.aug_busy",reason="bug",probability=1.0,hosts=[1]}]',),
    ),
}
SHOWN: tuple[type[Message], ...] = (
    *message_types(v),
    f.Placed,
    f.AdmitVm,
    f.HostNews,
    m.Admit,
    m.ConvertRequest,
    m.ConvertAnswer,
    m.Exit,
    m.ReleaseFile,
    m.Reclaim,
)
FACTS = (HostEmptied, ImageTold, MoveChanged, MoveSettled, VcpusStopped)
LEGEND = (
    "us, from -> to, message | what that makes known. Durations are their means; ranges are gfns."
)


def played(name: str) -> tuple[str, Fleet]:
    """The whole file, and the fleet at its end."""
    story = STORIES[name]
    fleet = Fleet(*ALONE, *story.overrides, spread=False)
    lines: list[tuple[int, int, str]] = []
    begun: list[int] = []

    def seen(now: int, sender: int, target: int, message: Message) -> None:
        facts = [fact for _, fact in fleet.notebook.facts[counted[0] :] if isinstance(fact, FACTS)]
        counted[0] = len(fleet.notebook.facts)
        if isinstance(message, v.MoveTime) and not begun:
            begun.append(now)
        imports = isinstance(message, m.ConvertAnswer | m.ConvertRequest)
        own = target & 0xFF == LOAD or sender & 0xFF == LOAD
        if begun and (facts or (isinstance(message, SHOWN) and (own or not imports))):
            lines.append((now, len(lines), line(sender, target, message, facts)))

    counted = [0]
    with fleet.followed(seen):
        fleet.run()
    text = "\n".join(f"{(now - begun[0]) / 1000:10.3f}  {text}" for now, _, text in sorted(lines))
    found = ", ".join(sorted(fleet.found)) or "nothing"
    last = fleet.of(MoveChanged)[-1].phase.name
    left = [f"It ends as {last}. Found by the checks: {found}."]
    return page([story.about, "", LEGEND], text + "\n", left), fleet


def line(sender: int, target: int, message: Message, facts: Sequence[object]) -> str:
    """Without its time."""
    source = "timer" if sender == target else name_of(sender)
    text = f"{source:>13} -> {name_of(target):13}  {said(message)}"
    known = "; ".join(fact_said(fact) for fact in facts)
    return f"{text:90} | {known}" if known else text


def said(message: Message) -> str:
    """A message by its name and what counts of it."""
    parts = [type(message).__name__]
    for name in message.__struct_fields__:
        value = getattr(message, name)
        if name in ("vm", "to", "before") and isinstance(value, int) and value >= 1 << 8:
            parts.append(f"{name}={place(value)}")
        elif isinstance(value, v.Image):
            parts.append(f"{place(value.vm)} as {place(value.to)}: shared {ranges(value.shared)}, "
                         f"accepted {ranges(value.accepted)}")  # fmt: skip
        elif isinstance(value, Phase | No | Timer):
            parts.append(value.name)
        elif name in ("start", "end", "free") or value is True:
            parts.append(f"{name}={value:#x}" if name in ("start", "end") else f"{name}={value}")
    return " ".join(parts)


def fact_said(fact: object) -> str:
    """A fact in a few words."""
    match fact:
        case MoveChanged(phase=phase):
            return f"the move: {phase.name}"
        case VcpusStopped(vm=vm, stopped=stopped, down=down):
            what = "no vCPU runs" if stopped else f"runs again, after {down / 1e6:.3f} ms"
            return f"{place(vm)}: {what}"
        case ImageTold(vm=vm, arrives=arrives):
            return f"{place(vm)}: {'all of the image is here' if arrives else 'the image is made'}"
        case MoveSettled(vm=vm, stays=stays):
            return f"{place(vm)}: {'stays here' if stays else 'its memory may go'}"
        case HostEmptied(host=host, took=took):
            return f"{name_of(host).partition('/')[0]} is empty after {took / 1e6:.3f} ms"
    raise AssertionError(fact)


def place(vm: int) -> str:
    """h0/v3."""
    assert vm_of(vm) >= 0
    return name_of(vm).rpartition("/")[0]


def ranges(parts: Ranges) -> str:
    """Of gfns; none."""
    return " ".join(f"{start:#x}..{end:#x}" for start, end in parts) or "nothing"
