"""Messages and observations: plain records with a tag for ever, which cross to another process and come back equal."""

import enum
import typing

import msgspec
import pytest

from actors import messages
from actors.contract import Consumer, Message, Observation
from actors.fleet import messages as fleet_messages
from actors.fleet import move_messages
from cluster.batch import BadBatchError, Codec, message_types
from cluster.cell import SEQUENCE_BITS
from tests.helpers import FACTS

MESSAGES = message_types(messages, fleet_messages, move_messages)
SAMPLES = {
    bool: True,
    int: 1 << 62,
    str: "commit",
    tuple[int, ...]: (1 << 40, 1),
    tuple[messages.Mapped, ...]: ((1, 1 << 52, 2),),
    messages.Parts: ((1, 1 << 52),),
    move_messages.Image: move_messages.Image(
        7,
        1 << 40,
        2 << 40,
        1 << 40,
        1 << 62,
        1 << 62,
        1,
        (1, 2),
        3,
        ((0, 1 << 52),),
        ((1, 2),),
        False,
    ),
}


def sample(kind):
    """One record with a telling value in every field."""
    hints = typing.get_type_hints(kind)
    values = [
        list(hint)[-1] if issubclass(hint, enum.Enum) else SAMPLES[hint]
        for hint in (hints[name] for name in kind.__struct_fields__)
    ]
    return kind(*values)


def tag_of(kind):
    return kind.__struct_config__.tag


@pytest.mark.parametrize("kind", [*MESSAGES, *FACTS], ids=lambda kind: kind.__name__)
def test_a_record_survives_msgpack(kind):
    record = sample(kind)
    back = msgspec.msgpack.decode(msgspec.msgpack.encode(record), type=kind)
    assert (back, type(back)) == (record, kind)


@pytest.mark.parametrize("kind", [*MESSAGES, *FACTS], ids=lambda kind: kind.__name__)
def test_a_record_cannot_be_changed(kind):
    assert kind.__struct_config__.frozen


def test_all_messages_survive_one_batch_with_time_source_and_sequence():
    codec = Codec(MESSAGES)
    crossings = [
        (n, 0xFFFF_0000_0000 << SEQUENCE_BITS | n, n, sample(kind))
        for n, kind in enumerate(MESSAGES, 1)
    ]
    assert codec.decode(codec.encode(crossings, SEQUENCE_BITS), SEQUENCE_BITS) == crossings


def test_enums_come_back_as_enums():
    ready = messages.Ready(5, Consumer.PINS)
    ((*_, back),) = Codec(MESSAGES).decode(Codec(MESSAGES).encode([(1, 2, 3, ready)], 1), 1)
    assert isinstance(back, messages.Ready)
    assert type(back.consumer) is Consumer


@pytest.mark.parametrize("batch", [b"", b"\xc1", b"\x91\x90", msgspec.msgpack.encode([[1, 2]])])
def test_other_bytes_are_no_batch(batch):
    with pytest.raises(BadBatchError):
        Codec(MESSAGES).decode(batch, SEQUENCE_BITS)


@pytest.mark.parametrize(("kinds", "base"), [(MESSAGES, Message), (FACTS, Observation)])
def test_no_tag_is_used_twice(kinds, base):
    assert all(issubclass(kind, base) for kind in kinds)
    tags = [tag_of(kind) for kind in kinds]
    assert sorted(tags) == sorted(set(tags)) and min(tags) == 1


def test_a_second_type_of_one_tag_is_found():
    class Impostor(Message, frozen=True, tag=tag_of(messages.Tick)):
        lane: int

    with pytest.raises(AssertionError, match="tag 1 twice"):
        message_types(messages, type("Other", (), {"Impostor": Impostor}))
