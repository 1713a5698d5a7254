"""Records the timelines of some VMs: a watcher that is there only where `--timeline` asks for one."""

from collections.abc import Callable, Mapping
from typing import Any

import msgpack

from actors.address import owner_base
from workloads.checkers.tracks import KINDS, Row, Tracks

ROWS_MAX = 50_000  # of a VM, some 5 MB of its file; what comes later is left out, and said so
CHUNK = 1000


class Recorded:
    """One VM's timeline. Rows that are over are kept as bytes: a report of a partition copies them, no more."""

    def __init__(self) -> None:
        self.tracks = Tracks()
        self.chunks: list[bytes] = []
        self.cut = -1  # when (ns) it had too many

    def see(self, now: int, fact: Any) -> None:
        """A fact of the VM."""
        if self.cut >= 0:
            return
        self.tracks.see(now, fact)
        if len(self.tracks.rows) >= CHUNK:
            self.chunks.append(msgpack.packb(self.tracks.rows))
            self.tracks.rows = []
            if len(self.chunks) * CHUNK >= ROWS_MAX:
                self.cut = now

    def pack(self) -> list[Any]:
        """Plain data, which `rows` reads."""
        return [self.cut, [*self.chunks, msgpack.packb(self.tracks.all())]]


def rows(packed: list[Any]) -> tuple[int, list[Row]]:
    """When the recorder had too many (ns, -1: never), and its rows."""
    cut, chunks = packed
    return cut, [tuple(row) for chunk in chunks for row in msgpack.unpackb(chunk)]


class Recorder:
    """A partition's part of the VMs that are recorded, by their base addresses."""

    def __init__(self, vms: tuple[int, ...]) -> None:
        self.vms = {vm: Recorded() for vm in vms}

    def watches(self) -> Mapping[type, Callable[[int, Any], None]]:
        """See cluster.world.Watcher."""
        return dict.fromkeys(KINDS, self.see)

    def see(self, now: int, fact: Any) -> None:
        """A fact, of whatever VM. VMs that have its inode open are of its story."""
        address = fact.gmem if hasattr(fact, "gmem") else fact.vm
        found = self.vms.get(owner_base(address))
        if found:
            found.see(now, fact)

    def result(self) -> Any:
        """See cluster.world.Watcher."""
        return [[vm, *found.pack()] for vm, found in self.vms.items()]

    def so_far(self) -> Any:
        """See cluster.world.Watcher. Nobody reads a timeline before the end."""
        return []
