"""A coverage-guided fuzzer of the trace reader: `python -m tests.fuzz.traces --seconds 60`.

It needs atheris (`pip install .[fuzz]`). Inputs that reach new code go to --corpus, one that fails to --failures:
put that one into tests/fuzz/data/traces once it is mended, where an ordinary test reads it for ever.
"""

import argparse
import io
import itertools
import sys
from pathlib import Path

CORPUS = Path(__file__).parent / "data" / "traces"
INPUT_MAX = 8192
MEMORY_MAX_MIB = 1024


def read_one(data: bytes) -> None:
    """The property: a log is read, or refused in one line; what is counted adds up."""
    from workloads.errors import UsageError
    from workloads.trace.spool import RECORD, SAMPLES, SLOTS_MAX, read_log, unpack_page

    try:
        log = read_log("-", io.BytesIO(data))
    except UsageError as error:
        assert str(error).isprintable(), str(error)
        return
    rows = unpack_page(log.page(0, log.conversions))
    assert len(rows) == log.conversions > 0, RECORD
    assert all(one[0] <= two[0] for one, two in itertools.pairwise(rows))
    assert all(size and end <= log.highest_end for _, gpa, size, _ in rows for end in [gpa + size])
    assert 0 < len(log.slots) <= 2 * SLOTS_MAX and len(log.samples) <= SAMPLES
    assert all(
        one.gpa + one.size <= two.gpa for one, two in zip(log.slots, log.slots[1:], strict=False)
    )
    assert log.shared_bytes >= 0 and log.redundant <= log.conversions and log.ignored <= log.lines


def main(words: list[str]) -> None:
    """Until the time is over, or an input fails."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.traces", description=__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="0 = no end")
    parser.add_argument("--corpus", type=Path, default=Path("results/fuzz/traces"))
    parser.add_argument("--failures", type=Path, default=Path("results/fuzz/failures"))
    given = parser.parse_args(words)
    try:
        import atheris
    except ImportError:
        sys.exit("tests.fuzz.traces: atheris is not installed; pip install '.[fuzz]' has it")
    with atheris.instrument_imports(include=["workloads.trace", "workloads.wording", "actors"]):
        import workloads.trace.spool  # noqa: F401
    for folder in (given.corpus, given.failures):
        folder.mkdir(parents=True, exist_ok=True)
    flags = [
        f"-max_total_time={given.seconds}",
        f"-max_len={INPUT_MAX}",
        f"-rss_limit_mb={MEMORY_MAX_MIB}",
        "-timeout=10",
        f"-artifact_prefix={given.failures}/",
    ]
    atheris.Setup([sys.argv[0], *flags, str(given.corpus), str(CORPUS)], read_one)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1:])
