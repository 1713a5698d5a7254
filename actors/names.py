"""Numbers of tasks, accesses and requests: the same conversion has the same number under every protocol.

Faults are drawn by the name of their opportunity (actors.contract.opportunity): which VM's which request, at which
page. So a number tells where in the load's program a request comes from, and nothing of how the run went: not which
answer came first, and not what failed before it. Then every protocol meets the same faults.

A request is number << 2 | kind. A task's first piece and first access have the task's own number; what is above it
tells the others apart. A task that is out of these bounds shares numbers with another, long ago or far away.
"""

from actors.contract import PAGES_2M

WHOLE, PIECE, IMPLICIT = 0, 2, 3  # one request at the VMM, a piece of a MapGPA, a memory fault
KIND_BITS = 2
_TASK_BITS, _PIECE_BITS, _AGAIN_BITS = (
    22,
    12,
    7,
)  # of a MapGPA's pieces; above them, taken back or not
_WHOLE_BITS, _ACCESS_BITS = 41, 30
_PART_SHIFT = 20  # up to 1,024 parts
_FILE_SHIFT = _PIECE_BITS + _ACCESS_BITS  # above all that the owner of an inode numbers
# By kind: how far a number goes that says no more than which task, or which piece of it, the request is.
_OWN_BITS = (_WHOLE_BITS + KIND_BITS, 0, _PIECE_BITS + _TASK_BITS + KIND_BITS, 0)


def piece_request(task: int, piece: int, again: int, back: bool) -> int:
    """A piece of 2 MiB of a task's MapGPA: `again` is 0 unless it was asked for before, `back` a task taken back."""
    number = back << _AGAIN_BITS | again % (1 << _AGAIN_BITS)
    number = number << _PIECE_BITS | piece % (1 << _PIECE_BITS)
    return (number << _TASK_BITS | task % (1 << _TASK_BITS)) << KIND_BITS | PIECE


def whole_request(task: int, back: bool) -> int:
    """A task that the VMM is asked for in one piece."""
    return (back << _WHOLE_BITS | task) << KIND_BITS | WHOLE


def whole_task(request: int) -> int:
    """Whose whole request it is."""
    return request >> KIND_BITS & (1 << _WHOLE_BITS) - 1


def part_task(task: int, part: int) -> int:
    """One part of a task that several vCPUs share: each is a task of its own, the first with the task's number."""
    return task + (part << _PART_SHIFT)


def access_number(task: int, start: int, cursor: int) -> int:
    """A task's use of the 2 MiB block around `cursor`; the task began at `start`."""
    block = (cursor // PAGES_2M - start // PAGES_2M) % (1 << _PIECE_BITS)
    return block << _ACCESS_BITS | task % (1 << _ACCESS_BITS)


def access_task(access: int) -> int:
    """Whose access it is."""
    return access & (1 << _ACCESS_BITS) - 1


def file_access(access: int, file: int) -> int:
    """The same by the VM that has this file of the inode, so that guest_memfd can tell them apart."""
    return access | file << _FILE_SHIFT


def access_file(access: int) -> int:
    """Which file's VM it comes from."""
    return access >> _FILE_SHIFT


def implicit_request(access: int) -> int:
    """The conversion that a memory fault asks for."""
    return access << KIND_BITS | IMPLICIT


def on_top(request: int) -> bool:
    """Is it none that a load asked for? A memory fault's, or what a guest asks for again or takes back."""
    return request >> _OWN_BITS[request & (1 << KIND_BITS) - 1] > 0


def implicit_access(request: int) -> int:
    """Whose memory fault it is."""
    return request >> KIND_BITS


def piece_of(request: int) -> tuple[int, int]:
    """(task, piece) that a piece's request is of."""
    number = request >> KIND_BITS
    return number & (1 << _TASK_BITS) - 1, number >> _TASK_BITS & (1 << _PIECE_BITS) - 1
