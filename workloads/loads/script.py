"""A program that is written down, word by word: the same few steps whatever the seed. For the explorer, above all."""

from actors import messages as m
from actors.address import HOST_MAP
from actors.contract import Share
from workloads.loads.load import Job, Post
from workloads.scenario import Script
from workloads.scripts import Line, lines_of

HOLD_NS = 1_000_000_000


class ScriptProgram:
    """A lane for each of the texts; none of them waits for another."""

    timed = one_sequence = boots = False
    sides = 0

    def __init__(self, load: Script, vm: int) -> None:
        self.parts = tuple(lines_of(text) for text in load.lanes)
        self.lanes = len(self.parts)
        self.vm = vm

    def job(self, lane: int, step: int) -> Job | None:
        """See workloads.loads.load.Program."""
        lines = self.parts[lane]
        return job_of(lines[step], self.vm) if step < len(lines) else None


def job_of(line: Line, vm: int) -> Job:
    """What the line says."""
    verb, start, end = line
    match verb:
        case "share" | "use":
            return Job(0, start, end, Share.SHARED, use=verb == "use")
        case "private":
            return Job(0, start, end, Share.PRIVATE)
        case "touch":
            return Job(0, start, end, Share.SHARED, convert=False, as_is=True)
        case "pin":
            pin = Post(vm | HOST_MAP, m.GetPages(start, end, HOLD_NS))
            return Job(0, start, end, Share.SHARED, convert=False, post=pin)
    return Job(0, start, end, Share.PRIVATE, convert=False, alias=verb)
