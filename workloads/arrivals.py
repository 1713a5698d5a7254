"""Who comes to a fleet when, and for how long: programs for its controller, and the file of a trace."""

import math
from collections.abc import Iterable, Iterator

from actors.fleet.controller import Arrivals
from cluster.draws import key_of, uniform
from workloads.errors import UsageError
from workloads.scenario import Scenario
from workloads.wording import printable

SECOND_NS = 1_000_000_000
SECONDS_MAX = 1e9
BYTES_MAX = 64 << 20
Row = tuple[int, int]
"""When a VM comes, and its lifetime, ns."""


class Drawn:
    """Closed population, or a Poisson process: exponential lifetimes, and gaps or none, each by its own draw."""

    def __init__(self, scenario: Scenario) -> None:
        how = scenario.arrivals
        closed = how.kind == "closed"
        self.again = how.pause if closed else 0
        self.first = how.population if closed else None
        self.gap = 0.0 if closed else SECOND_NS / how.rate
        self.mean = how.lifetime
        self.key = key_of(scenario.scenario.seed, "arrivals")

    def wait(self, number: int) -> int | None:
        """See actors.fleet.controller.Arrivals."""
        if self.first is not None and number >= self.first:
            return None
        return self._drawn(self.gap, 2 * number)

    def lifetime(self, number: int) -> int:
        """See actors.fleet.controller.Arrivals."""
        return self._drawn(self.mean, 2 * number + 1)

    def _drawn(self, mean: float, counter: int) -> int:
        return round(-mean * math.log1p(-uniform(self.key, counter)))


class Traced:
    """As a file says."""

    again = 0

    def __init__(self, rows: tuple[Row, ...]) -> None:
        self.rows = rows

    def wait(self, number: int) -> int | None:
        """See actors.fleet.controller.Arrivals."""
        if number >= len(self.rows):
            return None
        return self.rows[number][0] - (self.rows[number - 1][0] if number else 0)

    def lifetime(self, number: int) -> int:
        """See actors.fleet.controller.Arrivals."""
        return self.rows[number][1]


def program(scenario: Scenario, rows: tuple[Row, ...]) -> Arrivals:
    """What the scenario says; `rows` are its trace's."""
    return Traced(rows) if scenario.arrivals.kind == "trace" else Drawn(scenario)


def read(scenario: Scenario) -> tuple[Row, ...]:
    """The rows of the scenario's trace of arrivals, in order of time; none without one."""
    name = scenario.arrivals.trace
    if scenario.arrivals.kind != "trace":
        return ()
    try:
        with open(name, "rb") as file:
            content = file.read(BYTES_MAX + 1)
        if len(content) > BYTES_MAX:
            raise ValueError("larger than 64MiB")
        lines = content.decode().splitlines()
    except UnicodeDecodeError:
        raise UsageError(f"arrivals.trace: {printable(name)}: it is no text") from None
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise UsageError(f"arrivals.trace: {printable(name)}: {why}") from None
    return tuple(sorted(rows(name, lines)))


def rows(name: str, lines: Iterable[str]) -> Iterator[Row]:
    """Two numbers of seconds a line; what follows a # is for people."""
    for number, line in enumerate(lines, start=1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        try:
            arrival, lifetime = (seconds(word) for word in words)
        except ValueError:
            found = printable(line.strip())[:60]
            raise UsageError(
                f'{printable(name)}:{number}: found "{found}", expected two numbers of seconds: '
                "when a VM comes, and how long it lives"
            ) from None
        yield arrival, lifetime


def seconds(word: str) -> int:
    """As ns."""
    found = float(word)
    if not 0 <= found <= SECONDS_MAX:
        raise ValueError(word)
    return round(found * SECOND_NS)
