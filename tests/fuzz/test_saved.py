"""Checkpoints, batches of messages between partitions, and results in a job's log."""

import io
import pickle
import struct
import tarfile
from base64 import b64encode
from hashlib import blake2b

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors import messages
from cluster import checkpoint, keeping
from cluster.batch import BadBatchError, Codec, message_types
from tests.fuzz.bounds import within_bounds
from tests.fuzz.commands import ends_well, gmemsim
from tests.fuzz.strategies import mangled
from tests.fuzz.test_results import SMALL
from workloads.parcel import BadParcelError, lines, unpack

CODEC = Codec(message_types(messages))
LYING = [
    b"\xdd\xff\xff\xff\xff",
    b"\x95\xdd\xff\xff\xff\xff",
    b"\xc6\xff\xff\xff\xff",
    b"\xdf\xff\xff\xff\xff",
    b"\x91" * 100_000,
]
HOSTILE_STATES = {
    "a memo of 2^30 entries": b"\x80\x05Nr" + struct.pack("<I", 2**30) + b".",
    "an array of 2 GiB": b"\x80\x05cbuiltins\nbytearray\n(J\xff\xff\xff\x7ftR.",
    "a string that is not there": b"\x80\x05\x8e" + struct.pack("<Q", 2**40) + b".",
    "a call": b"\x80\x05cos\nsystem\n(\x8c\x01:tR.",
}


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    """The folder of a run that was stopped."""
    base = tmp_path_factory.mktemp("begun")
    assert (
        gmemsim("run", "quickstart", *SMALL, "--time-limit", "1ns", "--results", base).status == 3
    )
    return next((base / "quickstart").glob("[0-9]*"))


def resumed(folder, body):
    """What becomes of a checkpoint with this body, under a seal that is right."""
    seal = blake2b(body, digest_size=keeping.SEAL).digest()
    (folder / "checkpoint").write_bytes(keeping.MAGIC + seal + body)
    return ends_well("resume", folder, "--time-limit", "1ns", "--quiet")


@pytest.fixture
def saved(begun):
    content = (begun / "checkpoint").read_bytes()
    yield content
    (begun / "checkpoint").write_bytes(content)


@given(st.data())
def test_a_damaged_checkpoint_is_refused(begun, saved, data):
    found = data.draw(mangled(saved))
    (begun / "checkpoint").write_bytes(found)
    if found != saved:
        assert ends_well("resume", begun, "--time-limit", "1ns").status == 2


@given(st.data())
def test_a_damaged_checkpoint_with_the_right_seal_is_refused_or_resumed(begun, saved, data):
    body = saved[len(keeping.MAGIC) + keeping.SEAL :]
    head = data.draw(mangled(body[:200]))
    resumed(begun, data.draw(st.sampled_from([head + body[200:], *LYING])))


@pytest.mark.parametrize(
    "state",
    [b"garbage", pickle.dumps(None), pickle.dumps(({}, [], {}, {}))],
)
def test_a_state_that_is_none_is_one_line(begun, saved, state):
    found = keeping.read(begun / "checkpoint")
    ended = resumed(begun, msgspec.msgpack.encode(msgspec.structs.replace(found, states=[state])))
    assert ended.status == 2 and "checkpoint: " in ended.err


def refuse(state: bytes) -> None:
    """As a checkpoint's."""
    with pytest.raises(checkpoint.BadCheckpointError):
        checkpoint.load(state)


@pytest.mark.parametrize("name", HOSTILE_STATES)
def test_a_state_that_is_made_to_cost_much_is_refused_in_bounds(name):
    within_bounds(refuse, HOSTILE_STATES[name])


def refuse_device(path) -> None:
    """It has no end."""
    with pytest.raises(checkpoint.BadCheckpointError):
        keeping.read(path)


def test_a_device_for_a_checkpoint_is_refused_in_bounds(tmp_path):
    (tmp_path / "checkpoint").symlink_to("/dev/zero")
    within_bounds(refuse_device, tmp_path / "checkpoint")


def decode(batch: bytes) -> None:
    """Messages, or BadBatchError."""
    try:
        CODEC.decode(batch, 40)
    except BadBatchError as error:
        assert str(error)


@given(
    st.binary(max_size=60)
    | st.recursive(st.integers(-1, 2**63) | st.binary(max_size=3), st.lists, max_leaves=8).map(
        msgspec.msgpack.encode
    )
)
def test_a_batch_is_decoded_or_refused(batch):
    decode(batch)


@pytest.mark.parametrize("batch", LYING, ids=range(len(LYING)))
def test_a_batch_whose_lengths_lie_is_refused_in_bounds(batch):
    within_bounds(decode, batch)


@pytest.fixture
def parcel(tmp_path):
    folder = tmp_path / "20260101T000000Z-1"
    folder.mkdir()
    (folder / "summary.json").write_text("{}" * 1000)
    return list(lines(folder))


@given(st.data())
def test_a_damaged_parcel_is_unpacked_or_refused(parcel, tmp_path_factory, data):
    text = data.draw(mangled("\n".join(parcel).encode())).decode(errors="replace")
    into = tmp_path_factory.mktemp("into") / "name"
    try:
        folder = unpack(text.split("\n"), into)
    except BadParcelError:
        return
    assert folder.parent == into


@pytest.mark.parametrize("name", ["..", ".", "", "a/b", "/tmp"])
def test_a_parcel_stays_below_its_folder(tmp_path, name):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:xz") as archive:
        archive.addfile(tarfile.TarInfo("planted"))
    text = b64encode(packed.getvalue()).decode()
    with pytest.raises(BadParcelError):
        unpack([f"begin {name} 1", text, "end"], tmp_path / "into")
    assert not (tmp_path / "planted").exists()


def test_a_parcel_without_a_count_is_refused(tmp_path):
    with pytest.raises(BadParcelError):
        unpack(["begin x", "end"], tmp_path)
