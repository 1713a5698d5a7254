"""Trace logs: the corpus of the coverage-guided fuzzer, damaged logs, and logs that are made to cost much."""

import gzip
import io
import subprocess
import sys
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.bounds import within_bounds
from tests.fuzz.commands import ends_well
from tests.fuzz.strategies import mangled
from tests.fuzz.traces import CORPUS, read_one
from workloads.trace.spool import RANGES_MAX, SLOTS_MAX, read_log

INPUTS = sorted(CORPUS.iterdir())
CONVERT = b"kvm_convert_memory start 0x%x size 0x1000 private_to_shared\n"
SLOT = (
    b"kvm_set_user_memory AddrSpace#0 Slot#%d flags=0x4 gpa=0x%x size=0x1000 ua=0x0 "
    b"guest_memfd=%d guest_memfd_offset=0x0 ret=0\n"
)


@pytest.mark.parametrize("path", INPUTS, ids=lambda path: path.name)
def test_every_input_of_the_corpus_is_read_or_refused(path):
    read_one(path.read_bytes())


@given(st.data(), st.booleans())
def test_a_damaged_log_is_read_or_refused(data, packed):
    content = data.draw(mangled(data.draw(st.sampled_from(INPUTS)).read_bytes()))
    read_one(gzip.compress(content) if packed else content)


@pytest.mark.nightly
def test_coverage_finds_nothing(tmp_path):
    pytest.importorskip("atheris")
    words = [
        "--seconds",
        "60",
        "--corpus",
        tmp_path / "corpus",
        "--failures",
        tmp_path / "failures",
    ]
    command = [sys.executable, "-m", "tests.fuzz.traces", *map(str, words)]
    found = subprocess.run(command, capture_output=True, check=False, timeout=110)
    assert found.returncode == 0, found.stderr.decode(errors="replace")[-4000:]


def bomb(piece: bytes, times: int) -> bytes:
    """A gzip of so many pieces, made without holding them."""
    packer = zlib.compressobj(9, wbits=31)
    return b"".join([*(packer.compress(piece) for _ in range(times)), packer.flush()])


# 512 MiB, twice what the reader may hold.
HOSTILE = {
    "one line of 512 MiB in half a MiB": lambda: bomb(bytes(1 << 20), 512),
    "a million damaged lines": lambda: bomb(b"kvm_convert_memory start 0x1 size\n" * 1000, 300),
    "a gzip of a gzip": lambda: gzip.compress(bomb(bytes(1 << 20), 64)),
    "more vCPUs than there are": lambda: b"kvm_create_vcpu index: 4294967295, id: 0, kvm fd: 2\n",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_log_that_is_made_to_cost_much_is_read_in_bounds(name):
    within_bounds(read_one, HOSTILE[name]())


def test_slots_without_end_are_damage():
    """Each kept two entries for ever, and the next conversion laid all of them out anew."""
    slots = (SLOT % (n, n << 12, n) + CONVERT % (n << 12) for n in range(SLOTS_MAX + 10))
    log = read_log("-", io.BytesIO(b"".join(slots)))
    assert (len(log.slots), log.conversions) == (SLOTS_MAX, SLOTS_MAX)
    assert (
        log.samples[0].reason == f"kvm_set_user_memory: more than {SLOTS_MAX} private memory slots"
    )


def test_shared_ranges_without_end_are_refused(monkeypatch):
    monkeypatch.setattr("workloads.trace.spool.RANGES_MAX", 100)
    assert RANGES_MAX > 100
    with pytest.raises(
        Exception, match="standard input:50: memory is shared in more than 50 separate"
    ):
        read_log("-", io.BytesIO(b"".join(CONVERT % (n << 13) for n in range(1, 100))))


@pytest.mark.parametrize("name", ["a\0b", "x" * 5000, "\udcff", "loop", "."])
def test_a_name_that_no_log_has_is_one_line(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "loop").symlink_to("loop")
    assert ends_well("replay", name).status == 2
