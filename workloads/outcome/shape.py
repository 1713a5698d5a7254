"""The layout of summary.json: units are in the names, None is what a run has no value for."""

from typing import Annotated, Any, Literal, NotRequired, TypedDict

from msgspec import Meta

SCHEMA = 1
Verdict = Literal["valid", "violated", "unknown"]
# What a run can come to, so that a damaged file is refused where it is read. No float of these is infinite.
Count = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Amount = Annotated[float, Meta(ge=0, le=1e18)]
Signed = Annotated[float, Meta(ge=-1e18, le=1e18)]
Counts = dict[str, Count]


class Percentiles(TypedDict):
    """Simulated seconds. pNN is its bucket's upper edge: at most 1% above it, never below."""

    count: Count
    mean: Amount | None
    p50: Amount | None
    p90: Amount | None
    p99: Amount | None
    p999: Amount | None
    max: Amount | None


class WarmUp(TypedDict):
    """What latencies leave out of the run's beginning. `seconds` is the first intended start that is not left out; None
    where the rule cannot tell: then nothing is."""

    rule: Literal["mser-5"]
    seconds: Amount | None
    left_out: Count
    of: Count


class Conversions(TypedDict):
    """asked - cut_short + on_top = requested = completed + failed + unfinished.

    `asked` is what the load wanted converted, in requests; of an open loop the same under every protocol. `cut_short`
    are those of it that a MapGPA did not come to, because it failed or its VM died before. A memory fault, a revert
    and a guest that asks again come `on_top`.
    """

    asked: NotRequired[Count]
    cut_short: NotRequired[Count]
    on_top: NotRequired[Count]
    requested: Count
    completed: Count
    failed: Count
    unfinished: Count
    redundant: Count
    retries: Count
    at_dead_vms: NotRequired[Count]  # of the failed ones
    in_flight_peak: Count


class FailedAttempts(TypedDict):
    """Failed attempts by where and why; a conversion that is retried can have several."""

    phase: str
    consumer: str
    reason: str
    count: Count


class FaultCount(TypedDict):
    """A rule of the fault plan at one point: `place` 0 is its own, the n-th of its `also` is n.

    `opportunities` are those in its window and scope, at points of `also` while it lasts; `struck` failed by it.
    """

    rule: Count  # fault.N
    place: Count
    point: str
    opportunities: Count
    struck: Count


class Memory(TypedDict):
    """Where memory ended up."""

    private_bytes: Count
    shared_bytes: Count
    punched_bytes: NotRequired[Count]  # holes of guest_memfd; results of before have none
    fragments: Count
    poisoned_bytes: Count
    leaked_bytes: Count
    huge_mappings_lost: Count


class Arrived(TypedDict):
    """Requests for VMs: came = placed + turned_away + pending. Placed ones may have left.

    `refused` are a host's answers, `queued` how often no host was left to ask; neither is an end. Places that are
    `places_used_up` have had as many VMs as they can (fleet.generations): a run that ends for want of them says little.
    """

    came: Count
    placed: Count
    turned_away: Count
    pending: Count
    left: Count
    refused: Count
    queued: Count
    places_used_up: Count
    placement_seconds: Percentiles
    up_seconds: NotRequired[Percentiles]  # results of before have none


class MovesMade(TypedDict):
    """Moves of VMs between hosts, by what has become of them; `under_way` when the run was stopped.

    VMs stand still for `downtime_seconds`, failed moves included; evacuations are from when a host was closed.
    """

    begun: Count
    moved: Count
    no_place: Count  # the target said no, or there was none
    not_quiet: Count  # what was under way in the VM did not end in time
    unmovable: Count  # poisoned memory
    vm_gone: Count  # it left, or died, before it was sent
    transfer_failed: Count
    import_failed: Count
    under_way: Count
    downtime_seconds: Percentiles
    evacuation_seconds: Percentiles


class Dma(TypedDict):
    """DMAs of streams by what became of them, and how long streams stood still for their windows."""

    done: Count
    stale: Count
    fault: Count
    held_seconds: Percentiles


class Drain(TypedDict):
    """From scenario.duration to the end, where a run goes on so long; `answered`: in bins of the timeline since."""

    seconds: Amount
    answered: Count


class Tdx(TypedDict):
    """SEAMCALLs that met a lock or the fault plan's BUSY, by call; VP.ENTERs that took the tree lock; vCPUs kicked."""

    busy: Counts
    zero_step_entries: Count
    vcpu_kicks: Count


class Resource(TypedDict):
    """What requests wait for, over all VMs or hosts that have one (`stations`): figures are of the mean one.

    From the start to each host's last answer. `utilisation` is the part of that time in which a server was busy,
    `utilisation_max` that of the busiest station; `refused` were told at once that it is taken, and did not wait.
    `service_scv` is the services' variance over the square of their mean (0 constant, 1 exponential).
    """

    utilisation: Amount
    utilisation_max: Amount
    mean_waiting: Amount
    mean_in_system: Amount
    arrivals: Count
    refused: Count
    mean_wait_seconds: Amount
    stations: Count
    mean_service_seconds: NotRequired[Amount]  # of servers in virtual time
    service_scv: NotRequired[Amount]


class CheckRow(TypedDict):
    """One limit of [checks]; `value` in seconds, bytes, a fraction or a number. Without one `ok` is None too."""

    name: str
    limit: str
    value: Signed | None
    ok: bool | None  # False without a value in results of before


class Parameter(TypedDict):
    """A key of the scenario that is not at its default; values are TOML."""

    key: str
    value: str
    default: str


class Engine(TypedDict):
    """What ran it. Wall clock, except for the counts; busy and wait by partition.

    `behind_pace_seconds` is by how much it ended later than `--pace` asked, None without one. `checkpoints` took
    `checkpoint_seconds` in all; `checkpoint_bytes` is of the last, `checkpoint_error` why that could not be written.
    """

    executor: str
    placement: str
    partitions: Count
    nodes: Count
    events: Count
    windows: Count
    lookahead_seconds: Amount | None
    cross_messages: Count
    wall_seconds: Amount
    behind_pace_seconds: Signed | None
    events_per_second: Amount
    conversions_per_second: Amount
    recoveries: Count
    events_redone: Count
    checkpoints: NotRequired[Count]  # results of before have none of these
    checkpoint_seconds: NotRequired[Amount]
    checkpoint_bytes: NotRequired[Count]
    checkpoint_error: NotRequired[str]
    peak_rss_bytes: Count
    busy_seconds: list[Amount]
    wait_seconds: list[Amount]
    driver_seconds: NotRequired[Amount]
    bottleneck: str


class Counterexample(TypedDict):
    """The first finding that the protocol's definition does not admit, and how it came about, line by line.

    `replay` is the command that runs it again, once there is a results folder.
    """

    time_seconds: Amount
    id: str
    vm: str
    op: Count | None
    text: str
    admitted: bool
    story: list[str]
    replay: NotRequired[str]


class Input(TypedDict):
    """Of a replay: what its logs held. `damaged_lines` are the first of each file."""

    files: Count
    lines: Count
    conversions: Count
    ignored: Count
    damaged: Count
    damaged_lines: list[dict[str, Any]]


class SeedRun(TypedDict):
    """One seed's run of several."""

    seed: int
    verdict: Verdict
    reasons: list[str]
    digest: str


class Seeds(TypedDict):
    """Of a run over several seeds, `wanted` of them; the rest of the summary is the first one's.

    `figures` has every figure of the `count` runs that finished, laid out as in a summary, as {mean, low, high}: the
    mean and the ends of its 95% interval, None for a single run; with {seen, runs} where only so many have it.
    `checks` are by name, `ok` the share that passed, None where none failed and some had no data.
    """

    wanted: Count
    count: Count
    verdict: Verdict
    runs: list[SeedRun]
    figures: dict[str, Any]


class Summary(TypedDict):
    """All but `engine` and `versions` follows from scenario and seed, when the run finished."""

    schema: Count
    verdict: Verdict
    reasons: list[str]
    finished: bool
    digest: str
    scenario: str
    seed: int
    protocol: str
    simulated_seconds: Amount
    last_answer_seconds: Amount
    answered_per_simulated_second: NotRequired[Amount | None]
    load_ended_seconds: NotRequired[Amount]  # where it was answered later
    drain: NotRequired[Drain]
    conversions: Conversions
    latency_seconds: Percentiles
    latency_seconds_by_direction: dict[str, Percentiles]
    warm_up: NotRequired[WarmUp]  # where scenario.warm_up asks for it, of a run that is over
    boot_seconds: Percentiles
    # Times that KVM_BUG_ON ended a VM, or that a page stayed mapped which had to go.
    vms_bugged: Count
    vms_lost: NotRequired[Count]  # that failures have ended, once each; results of before have none
    vms_admitted: NotRequired[Count]  # in the place of others (fleet.reuse = readmit)
    arrivals: NotRequired[Arrived]  # where VMs come and go
    moves: NotRequired[MovesMade]  # where VMs move between hosts
    # VMs among them whose guests used memory that they had not accepted.
    guest_faults: NotRequired[Count]  # results of before have none
    # Guests' faults that met an invalidation between look-up and mmu_lock; results of before have none.
    page_faults_retried: NotRequired[Count]
    # Of mmu_notifiers: calls, errors that callers got who cannot bear any, and the same by caller.
    notifier_calls: NotRequired[Count]  # results of before have none of the three
    no_fail_failures: NotRequired[Count]
    no_fail_callers_failed: NotRequired[Counts]
    dma: NotRequired[Dma]
    tdx: NotRequired[Tdx]  # results of before have none
    phases: dict[str, dict[str, Percentiles]]
    resources: NotRequired[dict[str, Resource]]  # results of before have none
    failures: Counts
    failures_by_consumer: dict[str, Counts]
    failed_attempts: list[FailedAttempts]
    faults: NotRequired[list[FaultCount]]  # results of before have none
    memory: Memory
    anomalies: Counts
    invariant_violations: Counts
    counterexample: NotRequired[Counterexample]
    checks: list[CheckRow]
    parameters: list[Parameter]
    input: NotRequired[Input]
    engine: Engine
    versions: dict[str, str | None]
    seeds: NotRequired[Seeds]


class Changed(TypedDict):
    """A key that a protocol runs with another value than the scenario's; both as TOML."""

    was: str
    now: str


class SeedsCompared(TypedDict):
    """Protocol -> its seeds."""

    wanted: Count
    protocols: dict[str, Seeds]


class Comparison(TypedDict):
    """compare.json. `protocols`: summaries of the first seed. `closed_loops`: workloads that wait for answers."""

    schema: Count
    verdict: Verdict
    scenario: str
    seed: int
    closed_loops: list[str]
    adjustments: dict[str, dict[str, Changed]]
    not_run: list[str]
    protocols: dict[str, Summary]
    seeds: NotRequired[SeedsCompared]
