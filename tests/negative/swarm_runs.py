"""After how many runs the swarm finds each bug; run as a module it measures what is not known yet.

A bug is planted in the scenarios of seeds 1, 2, 3 and so on, one process, until a run fails. A seed that fails without
a bug finds none. What is known is kept in a file after every bug, so that a measurement can be stopped and goes on, or
goes further with more seeds; where seeds come to other digests than those of the file, all of it is measured anew. To
measure one bug anew, take its line out.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec
from pytest import MonkeyPatch

from tests.negative.catalogue import Plant, bugs
from tests.negative.everywhere import Everywhere
from workloads import __version__
from workloads.swarm.generate import generate
from workloads.swarm.trial import Found, Trial, plain, tried

KEPT = Path(__file__).parent / "swarm-runs.json"
SEEDS = 60
HANG_SECONDS = 60.0
DIGEST_DIGITS = 8
FAILS = "fails"


class Tried(msgspec.Struct, frozen=True):
    """A bug was planted in so many seeds, from 1 on; the last one failed if there is something `found`."""

    runs: int
    found: list[str] = []


class Measured(msgspec.Struct):
    """All of it: by which version, the digests of the seeds without a bug (or that one fails), and every bug."""

    version: str = __version__
    clean: list[str] = []
    bugs: dict[str, Tried] = {}

    @property
    def seeds(self) -> int:
        """How many runs a bug has had that was never found."""
        return len(self.clean)


def read(path: Path = KEPT) -> Measured:
    """What is kept."""
    return msgspec.json.decode(path.read_bytes(), type=Measured)


def write(measured: Measured, path: Path = KEPT) -> None:
    """One line for a bug."""
    rows = ",\n".join(
        f"  {json.dumps(name)}: {json.dumps(msgspec.to_builtins(one))}"
        for name, one in sorted(measured.bugs.items())
    )
    head = f'"version": {json.dumps(measured.version)},\n"clean": {json.dumps(measured.clean)}'
    path.write_text(f'{{{head},\n"bugs": {{\n{rows}\n}}}}\n')


def run(seed: int) -> Found:
    """The scenario of this seed, as it is now."""
    found = tried(Trial(plain(generate(seed)), HANG_SECONDS))
    assert found, "nobody asks it to stop"
    return found


def clean_digest(seed: int) -> str:
    """Names what the seed's scenario comes to, and with it the scenario and the model."""
    found = run(seed)
    return FAILS if found.failure else found.digest[:DIGEST_DIGITS]


def search(plant: Plant, clean: list[str], known: Tried) -> Tried:
    """Go on where it is not found yet."""
    for seed in range(known.runs + 1, len(clean) + 1):
        if clean[seed - 1] == FAILS:
            continue
        with MonkeyPatch.context() as patch:
            plant(Everywhere(patch), patch)
            failure = run(seed).failure
        if failure:
            return Tried(seed, list(failure.what))
    return Tried(max(len(clean), known.runs))


def measure(measured: Measured, seeds: int, planted: Mapping[str, Plant]) -> Iterator[str]:
    """Bring all bugs to this many seeds; yields the name of each when it is done."""
    clean = [clean_digest(seed) for seed in range(1, seeds + 1)]
    same = min(seeds, measured.seeds)
    if (measured.version, measured.clean[:same]) != (__version__, clean[:same]):
        measured.version, measured.clean, measured.bugs = __version__, [], {}
    measured.bugs = {name: one for name, one in measured.bugs.items() if name in planted}
    if seeds > measured.seeds:
        measured.clean = clean
    for name, plant in planted.items():
        known = measured.bugs.get(name, Tried(0))
        if not known.found and known.runs < seeds:
            measured.bugs[name] = search(plant, clean, known)
        yield name


def main() -> None:
    """As it was typed."""
    flags = argparse.ArgumentParser(description=__doc__)
    flags.add_argument(
        "--seeds", type=int, default=SEEDS, help="seeds that a bug is planted in at most"
    )
    wanted = flags.parse_args().seeds
    measured, began, planted = read() if KEPT.exists() else Measured(), time.perf_counter(), bugs()
    for number, name in enumerate(measure(measured, wanted, planted), start=1):
        write(measured)
        one = measured.bugs[name]
        said = f"found in run {one.runs}: {', '.join(one.found)}" if one.found else "not found"
        seconds = time.perf_counter() - began
        print(
            f"{number}/{len(planted)} {name}: {said} ({seconds:.0f} s so far)",
            file=sys.stderr,
            flush=True,
        )


if __name__ == "__main__":
    main()
