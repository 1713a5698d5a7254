"""Numbers of requests and accesses: one for each thing, and none that depends on how a run went."""

from hypothesis import given
from hypothesis import strategies as st

from actors import messages as m
from actors.address import VMM
from actors.contract import PAGES_2M, Reason
from actors.messages import ATTEMPT_BITS
from actors.names import (
    access_number,
    access_task,
    implicit_access,
    implicit_request,
    on_top,
    piece_of,
    piece_request,
    whole_request,
    whole_task,
)
from tests.helpers import SHARED, World

TASKS = st.integers(1, (1 << 22) - 1)
PIECES = st.tuples(TASKS, st.integers(0, 4095), st.integers(0, 127), st.booleans())
OP_BITS = 60  # what actors.contract.opportunity leaves for an op


@given(st.lists(PIECES, max_size=20), st.lists(st.tuples(TASKS, st.booleans()), max_size=20))
def test_every_request_has_a_number_of_its_own(pieces, wholes):
    numbers = [
        *(piece_request(*piece) for piece in {*pieces}),
        *(whole_request(*whole) for whole in {*wholes}),
        *(implicit_request(access_number(task, 0, 0)) for task in {task for task, _ in wholes}),
    ]
    assert len(set(numbers)) == len(numbers)
    assert all(number << ATTEMPT_BITS < 1 << OP_BITS for number in numbers)


@given(st.integers(1, (1 << 30) - 1), st.integers(0, 1 << 20), st.integers(0, 1 << 20))
def test_an_access_says_whose_it_is(task, start, offset):
    access = access_number(task, start, start + offset)
    assert (access_task(access), implicit_access(implicit_request(access))) == (task, access)
    assert implicit_request(access) << ATTEMPT_BITS < 1 << OP_BITS


@given(TASKS, st.integers(0, 4095), st.integers(0, 127), st.booleans())
def test_what_a_load_asked_for_is_told_from_what_comes_on_top(task, piece, again, back):
    assert on_top(piece_request(task, piece, again, back)) == (again > 0 or back)
    assert on_top(whole_request(task, back)) == back
    assert on_top(implicit_request(access_number(task, 0, 0)))


@given(st.integers(1, (1 << 41) - 1), st.booleans())
def test_a_whole_request_says_whose_it_is(task, back):
    assert whole_task(whole_request(task, back)) == task


def test_the_blocks_that_a_task_uses_have_accesses_of_their_own():
    start = 0x1F0
    cursors = [start, *range(PAGES_2M, 8 * PAGES_2M, PAGES_2M)]
    assert len({access_number(5, start, cursor) for cursor in cursors}) == len(cursors)


def names_of_pieces(*answers):
    """(first page, number) of every piece that KVM asks for while the guest converts 6 MiB."""
    world, answered = World("vm.guest_retries=3", "vm.interrupt_probability=0"), iter(answers)
    asked = []

    def vmm(_, message, context):
        asked.append((message.start, message.request))
        reason = next(answered, Reason.NONE)
        context.send(message.reply_to, m.ConvertAnswer(message.request, reason, -1), 200)

    world.replace(VMM, m.ConvertRequest, vmm)
    world.ask(0x200, 0xE00, SHARED)
    world.run()
    return asked


def test_a_piece_has_the_same_number_whatever_failed_before_it():
    smooth = dict(names_of_pieces())
    rough = names_of_pieces(Reason.NONE, Reason.BUSY, Reason.BUSY, Reason.NONE, Reason.BUSY)
    first: dict[int, int] = {}
    for start, number in rough:
        first.setdefault(start, number)
    assert first == smooth
    assert len({number for _, number in rough}) == len(rough) == len(smooth) + 3


@given(PIECES)
def test_a_piece_says_which_one_it_is(piece):
    task, number, _, _ = piece
    assert piece_of(piece_request(*piece)) == (task, number)
