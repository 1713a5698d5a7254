"""Checkpoints, batches of messages between partitions, and results in a job's log."""

import io
import os
import pickle
import pickletools
import shutil
import struct
import tarfile
from base64 import b64encode
from collections import Counter
from hashlib import blake2b

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors import messages
from cluster import checkpoint, keeping, opcodes
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
BYTEARRAY = b"\x8c\x08builtins\x8c\x09bytearray\x93"
SYSTEM = b"\x8c\x02os\x8c\x06system\x93"
HOSTILE_STATES = {
    "a memo of 2^30 entries": (b"Nr" + struct.pack("<I", 2**30) + b".", "is 0x72, which no state"),
    "the same within a frame": (
        b"\x95" + struct.pack("<Q", 7) + b"Nr" + struct.pack("<I", 2**30) + b".",
        "is 0x72, which no state",
    ),
    "a frame of 2^62 bytes": (b"\x95" + struct.pack("<Q", 2**62) + b"N.", "truncated"),
    "an array of 2 GiB": (BYTEARRAY + b"(J\xff\xff\xff\x7ftR.", "builtins.bytearray is not part"),
    "bytes that are not there": (b"\x8e" + struct.pack("<Q", 2**31) + b".", "of which 1 are there"),
    "an array that is not there": (
        b"\x96" + struct.pack("<Q", 2**31) + b".",
        "of which 1 are there",
    ),
    "a length cut off": (b"\x8e\0\0", "it is cut off"),
    "no end": (b"]" * 10**6, "it is cut off"),
    "a call": (SYSTEM + b"(\x8c\x01:tR.", "os.system is not part"),
    "a call of before": (b"cos\nsystem\n(\x8c\x01:tR.", "is 0x63, which no state"),
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


@given(st.data())
def test_a_damaged_scenario_beside_a_checkpoint_is_refused_or_resumed(begun, data):
    path = begun / "scenario.toml"
    content = path.read_bytes()
    try:
        path.write_bytes(data.draw(mangled(content)))
        ends_well("resume", begun, "--time-limit", "1ns", "--quiet")
    finally:
        path.write_bytes(content)


def resume_refused(folder) -> None:
    """With one line."""
    assert ends_well("resume", folder).status == 2


@pytest.mark.parametrize("file", ["scenario.toml", "checkpoint"])
def test_a_pipe_beside_a_checkpoint_is_refused_and_not_waited_for(begun, tmp_path, file):
    folder = tmp_path / "results"
    shutil.copytree(begun, folder)
    (folder / file).unlink()
    os.mkfifo(folder / file)
    within_bounds(resume_refused, folder)


@pytest.mark.parametrize(
    "state",
    [b"garbage", pickle.dumps(None), pickle.dumps(({}, [], {}, {}))],
)
def test_a_state_that_is_none_is_one_line(begun, saved, state):
    found = keeping.read(begun / "checkpoint")
    ended = resumed(begun, msgspec.msgpack.encode(msgspec.structs.replace(found, states=[state])))
    assert ended.status == 2 and "checkpoint: " in ended.err


def event_of_nobody(host):
    """`host` is [now, handled, taken_back, cancelled, queue, cells]."""
    host[4][0] = (host[4][0][0], 2**40, *host[4][0][2:])


def test_a_checkpoint_of_other_sources_is_refused(begun, saved, monkeypatch):
    """Half of the run would be another model's: its version's number may be the same."""
    monkeypatch.setattr("workloads.simulate.code_version", lambda: "another")
    ended = ends_well("resume", begun, "--time-limit", "1ns")
    assert ended.status == 2 and "of another version of gmemsim" in ended.err


UNFIT = {
    "an event of an actor that is not there": event_of_nobody,
    "an event that is none": lambda host: host[4].append(()),
    "an actor less": lambda host: host[5].popitem(),
    "a text for a time": lambda host: host.__setitem__(0, "now"),
    "a number for the queue": lambda host: host.__setitem__(4, 7),
    "a part too few": lambda host: host.pop(),
}


@pytest.mark.parametrize("name", UNFIT)
def test_a_state_that_fits_no_host_is_refused(begun, saved, name):
    found = keeping.read(begun / "checkpoint")
    hosts, *rest = checkpoint.load(found.states[0])
    UNFIT[name](hosts[0])
    state = pickle.dumps((hosts, *rest), checkpoint.PROTOCOL)
    ended = resumed(begun, msgspec.msgpack.encode(msgspec.structs.replace(found, states=[state])))
    assert ended.status == 2 and "checkpoint: a checkpoint of another fleet" in ended.err


def refuse(state: bytes, why: str) -> None:
    """As a checkpoint's."""
    with pytest.raises(checkpoint.BadCheckpointError, match=why):
        checkpoint.load(b"\x80\x05" + state)


@pytest.mark.parametrize("name", HOSTILE_STATES)
def test_a_state_that_is_made_to_cost_much_is_refused_in_bounds(name):
    within_bounds(refuse, *HOSTILE_STATES[name])


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
    | st.sampled_from([bytes(300), bytes(70_000), "x" * 300])
    | st.frozensets(st.integers())
    | st.builds(Counter, st.text())
    | st.sampled_from([2**3000, len, Counter, -(2**63)])
)
STRUCTURES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner)
        | st.lists(inner).map(tuple)
        | st.dictionaries(st.text(), inner)
        | st.lists(inner).map(lambda found: [found, found, (found,)])
    ),
)


@given(STRUCTURES)
def test_whatever_a_pickler_writes_has_no_flaw(value):
    pickled = pickle.dumps(value, checkpoint.PROTOCOL)
    assert opcodes.flaw(pickled) == ""
    assert opcodes.flaw(pickled[:-1]) != ""


def test_every_opcode_is_of_the_length_that_pickle_gives_it():
    """Else what follows one would be looked at as something else than what is unpickled."""
    alone = dict.fromkeys((bytes([code]) for code in opcodes.ALONE), 0)
    known = {op.code.encode("latin-1"): op.arg.n if op.arg else 0 for op in pickletools.opcodes}
    assert {code: known[code] for code in alone} == alone
    assert {code: known[code] for code in opcodes.FIXED} == opcodes.FIXED
    counts = {
        pickletools.TAKEN_FROM_ARGUMENT1: 1,
        pickletools.TAKEN_FROM_ARGUMENT4: 4,
        pickletools.TAKEN_FROM_ARGUMENT4U: 4,
        pickletools.TAKEN_FROM_ARGUMENT8U: 8,
    }
    assert {code: counts[known[bytes([code])]] for code in opcodes.COUNTED} == {
        code: length.size for code, length in opcodes.COUNTED.items()
    }


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
