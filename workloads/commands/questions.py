"""Commands that ask: of many runs, of every order, of random scenarios, of published figures, of theory.

What a command needs is imported when it runs, so that help answers at once.
"""

import sys
from functools import partial
from typing import Any

import click

from workloads.flags import OF_ONE_RUN, Count, command, loaded, seed_option, shared


@command(short_help="A grid or a search over scenarios, resumable.")
@click.argument("experiment")
@click.option("--workers", type=Count(1, 4096), help="Runs at a time on Ray. [default: one a CPU]")
@click.option(
    "--seeds",
    type=Count(1, 1000),
    help="Of each point: its seed and those after it. [default: the experiment's]",
)
@partial(
    shared,
    without=(*OF_ONE_RUN, "seed", "expect_digest", "live"),
    otherwise={
        "--executor": "This process, one run after the other, or Ray. [default: ray]",
        "--results": "Where the results go: DIR/EXPERIMENT/TIME-SEED.",
        "--json": "What points.json has, on standard output, alone.",
    },
)
def sweep(experiment: str, **flags: Any) -> None:
    """Run EXPERIMENT, a TOML file or the name of a shipped one, and answer its question.

    Points that were finished before, by the same code, are not run again: after Ctrl-C the same command goes on.

    \b
    gmemsim sweep host-capacity
    gmemsim sweep my.toml --executor local --seeds 5 --time-limit 10min
    """
    from workloads.experiment.command import sweep as run_all

    sys.exit(run_all(experiment, flags))


@command(short_help="Every order and every failure of a small scenario.")
@click.argument("scenario")
@click.option(
    "--protocol",
    metavar="NAME[,NAME]",
    help="Conversion protocols, one table if there are several; all: each. [default: the scenario's]",
)
@click.option(
    "--faults", type=Count(0), default=1, show_default=True, help="May strike in one run."
)
@click.option(
    "--timeouts",
    type=click.Choice(["late", "any"]),
    default="late",
    show_default=True,
    help="Fire once nothing else is in flight, or at any time.",
)
@click.option(
    "--reduction",
    type=click.Choice(["all", "orders", "exchanges", "none"]),
    default="all",
    show_default=True,
    help="Leave out orders that change nothing, and states that exchanges of equal VMs or pages make of others.",
)
@click.option(
    "--states",
    type=Count(1),
    default=1_000_000,
    show_default=True,
    help="With more of them the verdict is `unknown`: exit status 3.",
)
@click.option("--depth", type=Count(1), help="Moves from the beginning; the same. [default: any]")
@click.option("--choices", metavar="N,N,...", help="Show the one run that these choices are.")
@click.option("--save", metavar="FILE", help="The scenario of a counterexample, with its choices.")
@click.option("--draw", metavar="FILE", help="The graph of states as SVG; 400 of them at most.")
@click.option("--json", "as_json", is_flag=True, help="As JSON on standard output, alone.")
@partial(
    shared,
    without=(*OF_ONE_RUN, "executor", "address", "results", "expect_digest", "live", "as_json"),
)
def explore(scenario: str, **flags: Any) -> None:
    """Every order of messages and every outcome of a failure in SCENARIO, which has to be small.

    \b
    gmemsim explore smallest
    gmemsim explore smallest --protocol undo --faults 2
    gmemsim explore smallest --protocol all
    """
    from workloads.explore.command import explore as explored
    from workloads.explore.command import settings_of

    settings = settings_of(scenario, flags)
    sys.exit(explored(loaded(scenario, {**flags, "protocol": None}), settings))


@command(short_help="Random scenarios, every check on; what fails is made small.")
@click.option(
    "--runs", type=Count(1), help="So many scenarios. [default: 100, or no end with --time-limit]"
)
@seed_option("Of the first; the others have those after it.")
@click.option("--workers", type=Count(1, 4096), help="Runs at a time on Ray. [default: one a CPU]")
@click.option(
    "--again",
    type=Count(0),
    default=10,
    show_default=True,
    help="Seeds that it divides are run again in two partitions; 0 = none.",
)
@click.option(
    "--hang",
    metavar="DURATION",
    default="60s",
    show_default=True,
    help="Wall-clock time of one run; more is a failure.",
)
@partial(
    shared,
    without=(*OF_ONE_RUN, "seed", "overrides", "expect_digest", "live"),
    otherwise={
        "--executor": "One process, or many runs at a time on Ray. [default: ray]",
        "--time-limit": "Of wall-clock time, such as 10min; a normal end.",
        "--json": "What swarm.json has, on standard output, alone.",
    },
)
def swarm(**flags: Any) -> None:
    """Random scenarios, small and large, each from one seed, with every check on.

    The first of each way to fail is made small and kept, with its story. What was never reached is told.

    \b
    gmemsim swarm --runs 200
    gmemsim swarm --time-limit 30min --seed 1000
    """
    from workloads.swarm.command import swarm as run_all

    sys.exit(run_all(flags))


@command(short_help="Published measurements beside simulated ones.")
@click.argument("rows", nargs=-1, metavar="[ROW]...")
@click.option(
    "--cost",
    "costs",
    multiple=True,
    metavar="NAME=VALUE",
    help="Another value for a cost: a duration, or a change such as +10%; repeatable.",
)
@seed_option("Everything random follows from it.")
@click.option("--json", "as_json", is_flag=True, help="Rows as JSON on standard output, alone.")
@click.option("--quiet", is_flag=True, help="No line a row on standard error.")
@click.option(
    "--time-limit",
    metavar="DURATION",
    help="Of wall-clock time, such as 30s; reaching it is `unknown`: exit status 3.",
)
def validate(
    rows: tuple[str, ...],
    costs: tuple[str, ...],
    seed: int,
    as_json: bool,
    quiet: bool,
    time_limit: str | None,
) -> None:
    """Published measurements beside simulated ones: VT1 to VT16, or the ROWs named. A minute for all.

    \b
    gmemsim validate VT2 --cost kick_slope=+10%
    """
    from workloads.session import seconds_of
    from workloads.validation.command import validate as run_rows

    sys.exit(run_rows(rows, costs, seed, as_json, quiet, seconds_of(time_limit)))


@command(short_help="The engine on queues that theory has solved.")
@seed_option("Everything random follows from it.")
@click.option("--json", "as_json", is_flag=True, help="Rows as JSON on standard output, alone.")
@click.option("--quiet", is_flag=True, help="No line a model on standard error.")
def theory(seed: int, as_json: bool, quiet: bool) -> None:
    """The engine on queues that theory has solved: M/M/1, M/D/1, M/M/c, repairman, networks. A minute or two.

    \b
    gmemsim theory --json
    """
    from workloads.theory.command import theory as run_rows

    sys.exit(run_rows(seed, as_json, quiet))
