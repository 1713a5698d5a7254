"""The explorer: distinct states a second on a textbook model and on a shipped scenario, by processor time.

The textbook model is two-phase commit of the TLA+ examples. Where Spin and a C compiler are installed (Debian packages
spin and gcc), Spin goes through the same model, written in Promela, and has to come to the same number of states.
"""

import re
import resource
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path
from time import process_time
from typing import Any

from benchmarks import common
from cluster.explore import Reduction, Search, passes
from cluster.faults import FAULT_POINTS
from tests.explore.textbook import two_phase
from workloads.explore.model import Model
from workloads.scenario import load

# One process whose every step is an action of the specification; sentences of N resource managers are written out.
HEAD = """byte rm[N]; bool heard[N]; bool said[N]; bool decided, commit, abort;
active proctype Spec() {{
do
:: d_step {{ !decided && {all_heard} -> decided = 1; commit = 1 }}
:: d_step {{ !decided -> decided = 1; abort = 1 }}
"""
EACH = """:: d_step {{ !decided && said[{n}] && !heard[{n}] -> heard[{n}] = 1 }}
:: d_step {{ rm[{n}] == 0 -> rm[{n}] = 1; said[{n}] = 1 }}
:: d_step {{ rm[{n}] == 0 -> rm[{n}] = 3 }}
:: d_step {{ commit && rm[{n}] != 2 -> rm[{n}] = 2 }}
:: d_step {{ abort && rm[{n}] != 3 -> rm[{n}] = 3 }}
"""


def promela(managers: int) -> str:
    """TwoPhase with so many resource managers; rm is 0 working, 1 prepared, 2 committed, 3 aborted."""
    all_heard = " && ".join(f"heard[{n}]" for n in range(managers))
    body = "".join(EACH.format(n=n) for n in range(managers))
    return f"#define N {managers}\n" + HEAD.format(all_heard=all_heard) + body + "od }\n"


def spin(managers: int) -> tuple[int, float]:
    """Distinct states, and processor seconds of the compiled verifier alone."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "spec.pml").write_text(promela(managers))
        for command in (
            ["spin", "-a", "spec.pml"],
            ["gcc", "-O2", "-DSAFETY", "-DNOREDUCE", "-o", "pan", "pan.c"],
        ):
            subprocess.run(command, cwd=folder, check=True, capture_output=True)
        before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
        done = subprocess.run(
            ["./pan", "-E", "-m1000000"], cwd=folder, check=True, capture_output=True, text=True
        )
        seconds = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before
    stored = re.search(r"(\d+) states, stored", done.stdout)
    assert stored, done.stdout
    return int(stored[1]), seconds


def explored(searches: Iterable[Search]) -> tuple[int, float]:
    """Distinct states of the last one, and processor seconds of all."""
    began = process_time()
    for search in searches:
        search.run()
    return search.distinct, process_time() - began


def of_scenario(name: str, reduced: bool) -> tuple[int, float]:
    """Under its own protocol, with one fault; nothing is known before."""
    system = Model(load(name, (), FAULT_POINTS), faults=1, patient=True).system
    return explored(passes(system, reduction=Reduction(system) if reduced else None))


def row(what: str, by: str, found: tuple[int, float]) -> dict[str, Any]:
    """For the table."""
    states, seconds = found
    return {
        "what": what,
        "by": by,
        "states": states,
        "s": seconds,
        "states/s": states / max(seconds, 1e-9),
    }


def main() -> None:
    parser = common.flags(__doc__)
    parser.add_argument("--managers", type=int, default=6, help="of the textbook model")
    parser.add_argument("--scenario", default="smallest")
    options = parser.parse_args()
    name = f"TwoPhase, {options.managers} managers"
    rows = [row(name, "gmemsim", explored(passes(two_phase(options.managers))))]
    if shutil.which("spin") and shutil.which("gcc"):
        rows.append(row(name, "Spin", spin(options.managers)))
        assert rows[0]["states"] == rows[1]["states"], "they have not explored the same model"
    for reduced, what in ((False, "every order"), (True, "orders left out")):
        found = of_scenario(options.scenario, reduced)
        rows.append(row(f"{options.scenario}, {what}", "gmemsim", found))
    common.publish({"rows": rows}, rows, options.json)


if __name__ == "__main__":
    main()
