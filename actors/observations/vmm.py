"""The VMM: requests, its mappings and bitmap, its listeners, its end."""

from actors.contract import Observation, Reason, Share

NO_LATENCY = -1


class Requested(Observation, frozen=True, tag=27):
    """The VMM took on a request, `late` after it was due, or a dead VM was asked for one."""

    vm: int
    request: int
    to: Share
    late: int = 0


class Retried(Observation, frozen=True, tag=28):
    """The VMM tries a request again, for the `attempt`-th time; for the `stuck`-th since it came any further."""

    vm: int
    request: int
    attempt: int
    stuck: int


class Answered(Observation, frozen=True, tag=29):
    """A request is over: `latency` runs from when it was due; NO_LATENCY if the VM was dead before."""

    vm: int
    request: int
    start: int
    end: int
    to: Share
    reason: Reason
    redundant: bool
    latency: int


class Failed(Observation, frozen=True, tag=30):
    """One attempt of a conversion failed: where, at whom and why, and at which gfn (-1: at none)."""

    vm: int
    op: int
    phase: str
    consumer: str
    reason: Reason
    offset: int = -1


class HostPte(Observation, frozen=True, tag=15):
    """The VMM's page tables map the range, or no longer do."""

    vm: int
    start: int
    end: int
    present: bool


class Bitmap(Observation, frozen=True, tag=19):
    """The VMM believes the range to be on this side."""

    vm: int
    start: int
    end: int
    to: Share


class SideDiscarded(Observation, frozen=True, tag=103):
    """With two backends: the VMM gave up this side's pages of the range; who still maps them has stale ones."""

    vm: int
    start: int
    end: int
    side: Share


class NotifierCalled(Observation, frozen=True, tag=60):
    """A caller of actors.notifier_sites (`site` is its label) begins to invalidate a range of the VMM's mm."""

    vm: int
    site: str
    start: int
    end: int


class NotifierError(Observation, frozen=True, tag=61):
    """The callback returned an error to its caller; `no_fail` callers cannot bear any."""

    vm: int
    site: str
    no_fail: bool
    blocking: bool
    reason: Reason


class MmUnmapped(Observation, frozen=True, tag=62):
    """The mm itself took host PTEs of the range away; no conversion has to put them back."""

    vm: int
    site: str
    start: int
    end: int


class VmmKilled(Observation, frozen=True, tag=185):
    """SIGKILL: the VMM's bitmap is gone with it. VmStopped follows."""

    vm: int


class VmBugged(Observation, frozen=True, tag=23):
    """KVM_BUG_ON: the VM will not run again. `injected`: the failure is a fault point's; contention is nobody's."""

    vm: int
    site: str
    reason: Reason
    injected: bool
