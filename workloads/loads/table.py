"""Which program a kind of workload runs."""

from collections.abc import Callable
from typing import Any

from cluster.draws import key_of
from workloads.loads.beside import (
    MemoryPressureProgram,
    NotifierStormProgram,
    PinHoldersProgram,
)
from workloads.loads.dma import DmaStormProgram
from workloads.loads.failures import MemoryFailureProgram
from workloads.loads.hostile import HostileProgram
from workloads.loads.load import Program
from workloads.loads.pace import is_open
from workloads.loads.programs import ChurnProgram, HotRangeProgram
from workloads.loads.script import ScriptProgram
from workloads.loads.slots import Slotted
from workloads.loads.whole import BalloonProgram, ShutdownProgram, SweepProgram
from workloads.scenario import (
    Balloon,
    Boot,
    Churn,
    DmaStorm,
    Hostile,
    HotRange,
    MemoryFailures,
    MemoryPressure,
    NotifierStorm,
    PinHolders,
    Script,
    Shutdown,
    Sweep,
)

Make = Callable[[Any, int, int, int], Program]
"""From the workload's keys, the VM's pages, the seed and the VM's base address."""


def paced(
    program: Program, load: Boot | Hostile | HotRange | Script | Sweep, seed: int, vm: int
) -> Program:
    """The program; open, with a slot of its own for each job of its main lanes."""
    return Slotted(program, load.rate, key_of(seed, "slots", vm)) if is_open(load) else program


def slotted(make: Make) -> Make:
    """A kind whose programs know no pace of their own."""
    return lambda load, pages, seed, vm: paced(make(load, pages, seed, vm), load, seed, vm)


# A trace needs its log and a boot needs to know how memory starts: workloads.load_builder makes those two itself.
PROGRAMS: dict[type, Make] = {
    Balloon: BalloonProgram,
    Churn: ChurnProgram,
    DmaStorm: DmaStormProgram,
    Hostile: slotted(HostileProgram),
    HotRange: slotted(lambda load, pages, seed, vm: HotRangeProgram(load, pages)),
    MemoryFailures: MemoryFailureProgram,
    MemoryPressure: MemoryPressureProgram,
    NotifierStorm: NotifierStormProgram,
    PinHolders: PinHoldersProgram,
    Script: slotted(lambda load, pages, seed, vm: ScriptProgram(load, vm)),
    Shutdown: lambda load, pages, seed, vm: ShutdownProgram(load, pages, vm),
    Sweep: slotted(SweepProgram),
}
