"""BUSY by rate: instead of by the locks that are held, a BLOCK meets it by chance while vCPUs fault and accept.

Two rates, both ASSUMED (docs/domain.md section 7): with vCPUs accepting, and in an accept storm, which is an ACCEPT
while vCPUs tick. The chance is a fault point's, so that every protocol meets the same BUSY at the same BLOCK.
"""

import msgspec

ACCEPTING, STORM = "tdx.accepting", "tdx.accept_storm"
# Somebody outside the model has a lock. With the vCPUs kicked out nobody has: a retry does not meet it.
BACKGROUND = "tdx.background"


class Contention(msgspec.Struct):
    """Of a host; by VM, until when (ns) a vCPU's fault is served or its ACCEPT runs, and one beside ticking vCPUs."""

    accepting: dict[int, int] = {}
    storming: dict[int, int] = {}

    def note(self, vm: int, until: int, ticking: int) -> None:
        """A vCPU of the TD is at it until then."""
        self.accepting[vm] = max(self.accepting.get(vm, 0), until)
        if ticking:
            self.storming[vm] = max(self.storming.get(vm, 0), until)

    def points(self, vm: int, now: int) -> tuple[str, ...]:
        """Where chance decides about a BLOCK, now."""
        if now < self.storming.get(vm, 0):
            return (STORM,)
        return (ACCEPTING,) if now < self.accepting.get(vm, 0) else ()
