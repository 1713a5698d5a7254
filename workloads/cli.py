"""The command line. What a command needs is imported when it runs, so that help answers at once."""

import sys
from functools import partial
from typing import Any

import click

from workloads import __version__
from workloads.cli_dashboards import dashboards
from workloads.errors import LostError, UsageError
from workloads.flags import (
    Commands,
    Count,
    as_overrides,
    in_our_words,
    loaded,
    once,
    refuse_beside_job,
    refuse_idle,
    seed_option,
    several_seeds,
    shared,
)
from workloads.reader import to_reader

USAGE_ERROR, UNKNOWN = 2, 3


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="gmemsim")
def cli() -> None:
    """Simulate how confidential VMs convert memory between private and shared, and what it costs."""


@cli.command(short_help="Simulate a scenario.")
@click.argument("scenario")
@several_seeds
@shared
def run(scenario: str, **flags: Any) -> None:
    """One simulation of SCENARIO, a TOML file or the name of a shipped one.

    \b
    gmemsim run quickstart --seed 7 --set fleet.hosts=4
    gmemsim run my.toml --seeds 5
    """
    from workloads.execute import ANECDOTE, Settings, execute

    sys.exit(execute(loaded(scenario, flags), Settings.of(flags), note=ANECDOTE))


@cli.command(short_help="All protocols on the same load and faults, in one table.")
@click.argument("scenario")
@click.option(
    "--protocol",
    "protocols",
    multiple=True,
    metavar="NAME[,NAME]",
    help="These alone, such as undo,two-phase; repeatable. [default: all]",
)
@several_seeds
@partial(shared, without=("protocol", "expect_digest"))
def compare(scenario: str, protocols: tuple[str, ...], **flags: Any) -> None:
    """All protocols on the same seed, load and faults of SCENARIO, in one table.

    \b
    gmemsim compare claims
    gmemsim compare my.toml --protocol undo,two-phase --seeds 30
    """
    from workloads.compare import chosen, refuse_name
    from workloads.compare import compare as run_all
    from workloads.execute import Settings

    refuse_name(flags["overrides"])
    sys.exit(run_all(loaded(scenario, flags), chosen(protocols), Settings.of(flags)))


@cli.command(short_help="A grid or a search over scenarios, resumable.")
@click.argument("experiment")
@click.option("--workers", type=Count(1, 4096), help="Runs at a time on Ray. [default: one a CPU]")
@click.option(
    "--seeds",
    type=Count(1, 1000),
    help="Of each point: its seed and those after it. [default: the experiment's]",
)
@partial(
    shared,
    without=(
        "partitions",
        "placement",
        "seed",
        "protocol",
        "expect_digest",
        "pace",
        "metrics_port",
        "linger",
        "timelines",
        "live",
    ),
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


@cli.command(short_help="Every order and every failure of a small scenario.")
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
    without=(
        "executor",
        "partitions",
        "placement",
        "address",
        "protocol",
        "results",
        "pace",
        "expect_digest",
        "metrics_port",
        "linger",
        "timelines",
        "live",
        "as_json",
    ),
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


@cli.command(short_help="Random scenarios, every check on; what fails is made small.")
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
    without=(
        "partitions",
        "placement",
        "seed",
        "protocol",
        "overrides",
        "expect_digest",
        "pace",
        "metrics_port",
        "linger",
        "timelines",
        "live",
    ),
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


@cli.command(short_help="Go on with a run that was stopped.")
@click.argument("result")
@partial(
    shared,
    without=(
        "partitions",
        "placement",
        "seed",
        "protocol",
        "overrides",
        "results",
        "pace",
        "metrics_port",
        "linger",
        "timelines",
    ),
)
def resume(result: str, **flags: Any) -> None:
    """Go on with the run of a RESULT folder from its last checkpoint, to the same digest.

    Its partitions stay as they are; any Ray can take them, and so can one process.

    \b
    gmemsim resume results/quickstart/latest
    gmemsim resume results/quickstart/latest --executor local
    """
    from workloads.execute import Settings
    from workloads.resume import resume as go_on

    sys.exit(go_on(result, Settings.of({"results": "results", **flags}), flags))


@cli.command(short_help="Run a scenario as a Ray job.")
@click.argument("scenario", required=False)
@click.option("--job", metavar="ID", help="Follow this job, sent before, instead of a SCENARIO.")
@partial(
    shared,
    without=("expect_digest", "metrics_port", "linger", "live"),
    otherwise={
        "--executor": "One process of the job, or the cluster. [default: ray]",
        "--address": "The job server's URL. [default: RAY_API_SERVER_ADDRESS]",
    },
)
def submit(scenario: str | None, job: str | None, **flags: Any) -> None:
    """SCENARIO as a Ray job at a job server; log, results and exit status come back here.

    A job that was lost sight of is followed again by its ID.

    \b
    gmemsim submit quickstart --address http://HEAD:8265
    gmemsim submit --job raysubmit_4LamXRuQpYdSMg7J --address http://HEAD:8265
    """
    from workloads.execute import Settings
    from workloads.submit import follow
    from workloads.submit import submit as send

    if job is not None:
        refuse_beside_job(scenario, flags)
        sys.exit(follow(job, Settings.of(flags)))
    if scenario is None:
        raise UsageError("submit: found neither SCENARIO nor --job ID, expected one of the two")
    flags["executor"] = flags["executor"] or "ray"
    found = loaded(scenario, {**flags, "address": None})  # of the job server, whatever executes
    sys.exit(send(found, Settings.of(flags), flags["time_limit"]))


@cli.command(short_help="Simulate the conversions of QEMU trace logs.")
@click.argument("logs", nargs=-1, required=True, metavar="LOG...")
@click.option(
    "--scenario",
    metavar="SCENARIO",
    help="What the logs do not tell: a TOML file or a shipped scenario. [default: every key's own]",
)
@click.option(
    "--vms",
    type=Count(1, 1_000_000),
    default=1,
    show_default=True,
    help="Copies of each log's VM.",
)
@click.option(
    "--hosts",
    type=Count(1, 100_000),
    help="Hosts to put the VMs on. [default: one for each VM, 8 at most]",
)
@click.option(
    "--stagger",
    metavar="DURATION",
    help="Offset between the starts of successive VMs, such as 10ms. [default: 0s]",
)
@click.option(
    "--rate",
    metavar="RATE",
    help="Conversions per simulated second and VM, such as 1000, whatever the logs' times.",
)
@click.option(
    "--back-to-back",
    type=Count(1),
    metavar="N",
    help="Ignore the logs' times: N conversions of a VM at once.",
)
@click.option(
    "--max-damaged",
    type=Count(0),
    help="Damaged lines to put up with in each log. [default: 1% of its lines, at least 100]",
)
@shared
def replay(logs: tuple[str, ...], **flags: Any) -> None:
    """Conversions of QEMU trace logs (-trace 'kvm_*'); each LOG is a VM, `-` is standard input.

    \b
    gmemsim replay td-boot-iso.log --vms 16 --stagger 10ms
    """
    from workloads.execute import ANECDOTE, Settings, execute
    from workloads.replay import scenario_of

    found = scenario_of(logs, flags, as_overrides(flags))
    refuse_idle(found, flags)
    sys.exit(execute(found, Settings.of(flags), flags["max_damaged"], note=ANECDOTE))


@cli.command(short_help="Published measurements beside simulated ones.")
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


@cli.command(short_help="The engine on queues that theory has solved.")
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


@cli.command("list", short_help="What can be named: scenarios, protocols, faults, ...")
@click.argument("kind", required=False)
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def list_(kind: str | None, as_json: bool) -> None:
    """What can be named: scenarios, experiments, workloads, protocols, faults, anomalies, costs, and more."""
    from workloads.catalogue import show_kind

    with to_reader():
        click.echo(show_kind(kind, as_json))


@cli.command(
    short_help="Every key of a scenario, with its meaning; what an experiment asks and runs."
)
@click.argument("scenario")
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Any key, such as fleet.hosts=64; repeatable.",
)
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def show(scenario: str, overrides: tuple[str, ...], as_json: bool) -> None:
    """Every key of SCENARIO with its value, default, unit and meaning; or what an EXPERIMENT asks and runs.

    \b
    gmemsim show quickstart --set vm.memory=8GiB
    """
    from workloads.catalogue import show as shown

    with to_reader():
        click.echo(shown(scenario, once(overrides), as_json))


@cli.command(short_help="Make report.html of results again.")
@click.argument("result")
@click.option(
    "--openmetrics", is_flag=True, help="Print its metrics over time, to fill a Prometheus with."
)
@click.option("--open", "opened", is_flag=True, help="And show it in a browser.")
def report(result: str, openmetrics: bool, opened: bool) -> None:
    """Make report.html of a RESULT folder again; its path is printed.

    \b
    gmemsim report results/quickstart/latest --open
    """
    from workloads.outcome.history import history_text
    from workloads.outcome.report import rebuild, show

    if openmetrics and opened:
        raise UsageError("--openmetrics and --open: give one of them; metrics are no page")
    with to_reader():
        if openmetrics:
            click.echo(history_text(result), nl=False)
            return
        path = rebuild(result)
        click.echo(path)
    if opened:
        show(path)


@cli.command(short_help="A Prometheus that scrapes every served run.")
@click.option(
    "--results", default="results", show_default=True, metavar="DIR", help="Whose runs to watch."
)
@click.option(
    "--port", type=Count(1, 65535), default=9090, show_default=True, help="Of Prometheus."
)
def monitor(results: str, port: int) -> None:
    """A Prometheus that scrapes every run with --metrics-port, until Ctrl-C."""
    from workloads.monitoring import watch

    watch(results, port)


cli.add_command(dashboards)


def main() -> None:
    """Run a command; a user's mistake is one line and exit status 2."""
    try:
        cli(standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        sys.exit(USAGE_ERROR)
    except UsageError as error:
        fail(str(error))
    except LostError as error:
        fail(str(error), UNKNOWN)
    except click.ClickException as error:
        fail(in_our_words(error))
    except click.Abort:
        fail("interrupted")
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(0)


def fail(text: str, status: int = USAGE_ERROR) -> None:
    """One line, and out."""
    click.echo(f"gmemsim: {text}", err=True)
    sys.exit(status)
