"""Sum up one run of `check`: a table of its steps, then `N passed, N failed, N skipped`.

Reads from a folder the file `steps` (kind, name, wall seconds and exit status of each step) and
`NAME.xml`, the JUnit report of each step of the kind `tests`. Exit status 1 if anything failed.
"""

import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

NOTHING_COLLECTED = 5
NEEDS = "needs "


@dataclass
class Step:
    """One row of the table: a tool that passed or failed, or a layer of tests with its counts."""

    name: str
    seconds: int
    status: int
    is_tests: bool
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    skip_reasons: list[tuple[str, str]] = field(default_factory=list)
    reported: bool = False

    @property
    def broken(self) -> bool:
        """Failed in a way that its counts do not show, such as an error while collecting."""
        empty = self.is_tests and self.status == NOTHING_COLLECTED
        return self.status != 0 and not empty and self.failed == 0

    @property
    def result(self) -> str:
        """What the table says of it."""
        if self.is_tests and self.reported:
            counts = f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"
            return f"{counts}, exit {self.status}" if self.broken else counts
        return f"failed, exit {self.status}" if self.status else "passed"


def read_report(step: Step, path: Path) -> None:
    """Add the counts of a JUnit report to its step. No report is no counts."""
    try:
        cases = ElementTree.parse(path).iter("testcase")
    except (OSError, ElementTree.ParseError):
        return
    step.reported = True
    for case in cases:
        name = f"{case.get('classname', '')}.{case.get('name', '')}"
        skip = case.find("skipped")
        if case.find("failure") is not None or case.find("error") is not None:
            step.failed += 1
        elif skip is not None:
            step.skipped += 1
            step.skip_reasons.append((name, skip.get("message") or "no reason given"))
        else:
            step.passed += 1


def read_steps(folder: Path) -> list[Step]:
    """The steps of one run, in the order they ran."""
    steps = []
    for line in (folder / "steps").read_text().splitlines():
        kind, name, seconds, status = line.split("\t")
        step = Step(name, int(seconds), int(status), kind == "tests")
        if step.is_tests:
            read_report(step, folder / f"{name}.xml")
        steps.append(step)
    return steps


def table(steps: Iterable[Step]) -> str:
    """Name, wall seconds and result of each step in aligned columns."""
    rows = [("step", "seconds", "result")]
    rows += [(step.name, str(step.seconds), step.result) for step in steps]
    width = max(len(name) for name, _, _ in rows)
    return "\n".join(f"{name:<{width}}  {seconds:>7}  {result}" for name, seconds, result in rows)


def main(folder: Path, in_ci: bool) -> int:
    """Print the summary of the run in `folder`; 0 if all of it passed."""
    steps = read_steps(folder)
    layers = [step for step in steps if step.is_tests]
    passed = sum(step.passed for step in layers)
    # A layer that broke without one failed test counts as one: the last line alone must tell.
    failed = sum(step.failed + step.broken for step in layers)
    skipped = sum(step.skipped for step in layers)
    reasons = [reason for step in layers for reason in step.skip_reasons]
    lacking = [(name, reason) for name, reason in reasons if reason.startswith(NEEDS)]

    print(f"\n{table(steps)}\n")
    wrong = [step.name for step in steps if step.broken or step.failed]
    if wrong:
        print(f"failed: {', '.join(wrong)}")
    if layers and passed + failed + skipped == 0:
        wrong.append("tests")
        print("no test was collected")
    for name, reason in lacking:
        print(f"skipped: {name}: {reason}")
    if lacking and in_ci:
        wrong.append("skipped tests")
        print(f"in CI these {len(lacking)} tests must run: install what they need")
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), os.environ.get("CI") == "true"))
