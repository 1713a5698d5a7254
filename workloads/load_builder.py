"""The loads of a host's VMs, and their programs."""

from actors.address import GUEST, file_address, vm_address, vm_of
from actors.contract import PAGE_BYTES
from actors.slots import Slots
from cluster.draws import key_of as draws_of
from cluster.world import Feed
from workloads.loads.arrived import ArrivedLoad
from workloads.loads.dma import DmaLoad, DmaStormProgram, DmaStreams
from workloads.loads.files import FilesLoad
from workloads.loads.load import Load, Program, load_address
from workloads.loads.moving import MovingLoad
from workloads.loads.programs import BootProgram
from workloads.loads.table import PROGRAMS, paced
from workloads.loads.tenant import Moved, Seat, TenantLoad
from workloads.loads.trace import TraceProgram
from workloads.plan import Plan
from workloads.scenario import AnyWorkload, Boot, DmaStorm, Scenario, Trace
from workloads.vm_shape import comes_later, number_of, slots_of

NEVER = 0


class LoadBuilder:
    """Builds the loads of one host; `feeds` are what their programs read while the run goes on."""

    def __init__(self, plan: Plan, host: int) -> None:
        self.plan = plan
        self.scenario = plan.scenario
        self.host = host
        self.feeds: dict[int, Feed] = {}

    def load(self, number: int, vm: int, program: Program, born: int) -> Load:
        """The VM's load, with its share of the fleet's conversions."""
        quota = self.plan.quota_of(number)
        until = self.scenario.scenario.duration if quota >= 0 else NEVER
        sequences = 1 if program.one_sequence else program.lanes
        state = (vm, program, max(quota, 0), until, born, [0] * sequences)
        if self.plan.moves:
            return self.tenant(MovingLoad(*state, programs=Programs(self.plan)))
        if self.plan.arrives:
            return self.tenant(ArrivedLoad(*state))
        if self.plan.generations > 1:
            return self.tenant(TenantLoad(*state))
        if self.scenario.vm.files_per_inode > 1:
            guests = tuple(other | GUEST for other in others(vm, self.scenario))
            key = draws_of(self.scenario.scenario.seed, "files", vm)
            return FilesLoad(*state, others=guests, key=key)
        return DmaLoad(*state) if isinstance(program, DmaStormProgram) else Load(*state)

    def tenant(self, load: TenantLoad) -> TenantLoad:
        """The load of a place that others may have after the VM, or have had before it."""
        if comes_later(self.plan, load.vm):
            places = self.scenario.fleet.vms_per_host
            load.before = load_address(vm_address(self.host, vm_of(load.vm) - places))
            load.seat = Seat.EMPTY
        load.pages = self.scenario.vm.memory // PAGE_BYTES
        load.vcpus = self.scenario.vm.vcpus
        return load

    def program(self, number: int, vm: int, slots: Slots) -> Program:
        """What the VM is going to do."""
        scenario = self.scenario
        load = scenario.workload[self.plan.workload_of(number)]
        match load:
            case Trace():
                log = self.plan.log_of(number)
                assert log is not None
                trace = TraceProgram(load, log)
                self.feeds[load_address(vm)] = trace
                return trace
            case _:
                return program_of(scenario, load, slots[0].pages, vm)


class Programs:
    """See workloads.loads.moving.Programs: what is asked of a VM does not depend on where it is."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan

    def __call__(self, origin: int, vm: int) -> Program:
        """The program of the VM that was placed as `origin` and is `vm` now."""
        number = number_of(self.plan, origin)
        load = self.plan.scenario.workload[self.plan.workload_of(number)]
        pages = slots_of(self.plan, number)[0].pages
        return Moved(program_of(self.plan.scenario, load, pages, origin), origin, vm)


class Streams:
    """See actors.devices.Devices: what is asked of a VM's devices does not depend on where it is either."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan

    def __call__(self, origin: int) -> DmaStreams:
        """Of the VM that was placed as this one; some, if it has none."""
        scenario = self.plan.scenario
        own = scenario.workload[self.plan.workload_of(number_of(self.plan, origin))]
        storms = (load for load in (own, *scenario.workload) if isinstance(load, DmaStorm))
        return DmaStreams(next(storms), scenario.scenario.seed, origin)


def program_of(scenario: Scenario, load: AnyWorkload, pages: int, vm: int) -> Program:
    """The program of a VM that no log drives."""
    seed = scenario.scenario.seed
    if isinstance(load, Boot):
        unaccepted = not scenario.vm.start.startswith("mapped")
        return paced(BootProgram(load, pages, unaccepted, seed, vm), load, seed, vm)
    return PROGRAMS[type(load)](load, pages, seed, vm)


def others(vm: int, scenario: Scenario) -> list[int]:
    """Base addresses of the VMs that have a VM's inodes open beside it."""
    return [file_address(vm, file) for file in range(1, scenario.vm.files_per_inode)]


def first_wait(program: Program, lane: int) -> int:
    """Lanes begin at once, but for those that only accompany the others: they come when they come."""
    job = program.job(lane, 0) if lane >= program.lanes - program.sides else None
    return job.wait if job else 0
