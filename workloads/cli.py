"""The command line. What a command needs is imported when it runs, so that help answers at once."""

import sys
from collections.abc import Callable, Collection
from functools import partial
from typing import Any

import click

from workloads import __version__
from workloads.cli_dashboards import dashboards
from workloads.errors import LostError, UsageError

USAGE_ERROR, UNKNOWN = 2, 3


def shared(command: Callable[..., None], without: Collection[str] = ()) -> Callable[..., None]:
    """The flags of every command that simulates (docs/reference/results.md has what comes out)."""
    options = [
        click.option("--executor", type=click.Choice(["local", "ray"]), help="One process, or Ray."),
        click.option("--partitions", type=click.IntRange(0), help="Ray actors; 0 = one for each CPU."),
        click.option("--placement", help="Which actors share a partition."),
        click.option("--address", help="A running Ray: HOST:PORT, ray://HOST:PORT or auto."),
        click.option("--seed", type=click.IntRange(0), help="Everything random follows from it."),
        click.option("--protocol", help="Conversion protocol."),
        click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Any key; repeatable."),
        click.option("--results", default="results", show_default=True, metavar="DIR", help="Where the results go."),
        click.option("--expect-digest", metavar="HEX", help="Fail unless the run has this digest."),
        click.option("--metrics-port", type=click.IntRange(0, 65535), help="Serve Prometheus metrics; 0 = any port."),
        click.option("--linger", metavar="DURATION", help="Keep serving metrics for so long after the end."),
        click.option("--time-limit", metavar="DURATION", help="Wall-clock limit; reaching it is `unknown`."),
        click.option("--json", "as_json", is_flag=True, help="summary.json on standard output, alone."),
        click.option("--quiet", is_flag=True, help="No progress and no table."),
    ]  # fmt: skip
    for option in reversed(options):
        command = option(command)
    known: list[click.Option] = vars(command)["__click_params__"]
    known[:] = [option for option in known if option.name not in without]
    return command


several_seeds = click.option(
    "--seeds",
    type=click.IntRange(1, 10_000),
    default=1,
    metavar="N",
    help="N seeds from the scenario's on: means with 95% intervals.",
)


# Flags that are keys of the scenario by another name.
KEYS = {
    "executor": "engine.executor",
    "partitions": "engine.partitions",
    "placement": "engine.placement",
    "seed": "scenario.seed",
    "protocol": "protocol.name",
    "metrics_port": "metrics.port",
    "linger": "metrics.linger",
}


def as_overrides(flags: dict[str, Any]) -> list[str]:
    """Flags as `--set` texts, before the user's own."""
    named = [f"{key}={flags[flag]}" for flag, key in KEYS.items() if flags.get(flag) is not None]
    return [*named, *flags["overrides"]]


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="gmemsim")
def cli() -> None:
    """Simulate how confidential VMs convert memory between private and shared, and what it costs."""


@cli.command()
@click.argument("scenario")
@several_seeds
@shared
def run(scenario: str, **flags: Any) -> None:
    """One simulation of SCENARIO, a TOML file or the name of a shipped one."""
    from cluster.faults import FAULT_POINTS
    from workloads import scenario as scenarios
    from workloads.execute import ANECDOTE, Settings, execute

    found = scenarios.load(scenario, as_overrides(flags), FAULT_POINTS)
    sys.exit(execute(found, Settings.of(flags), note=ANECDOTE))


@cli.command()
@click.argument("scenario")
@click.option(
    "--protocol", "protocols", multiple=True, metavar="NAME[,NAME]", help="These alone; repeatable."
)
@several_seeds
@partial(shared, without=("protocol", "expect_digest"))
def compare(scenario: str, protocols: tuple[str, ...], **flags: Any) -> None:
    """All protocols on the same seed, load and faults of SCENARIO, in one table."""
    from cluster.faults import FAULT_POINTS
    from workloads import scenario as scenarios
    from workloads.compare import chosen
    from workloads.compare import compare as run_all
    from workloads.execute import Settings

    found = scenarios.load(scenario, as_overrides(flags), FAULT_POINTS)
    sys.exit(run_all(found, chosen(protocols), Settings.of(flags)))


@cli.command()
@click.argument("result")
@partial(
    shared,
    without=(
        "executor",
        "partitions",
        "placement",
        "seed",
        "protocol",
        "overrides",
        "results",
        "metrics_port",
        "linger",
    ),
)
def resume(result: str, **flags: Any) -> None:
    """Go on with the run of a RESULT folder from its last checkpoint, to the same digest."""
    from workloads.execute import Settings
    from workloads.resume import resume as go_on

    sys.exit(go_on(result, Settings.of({"results": "results", **flags})))


@cli.command()
@click.argument("scenario")
@partial(shared, without=("expect_digest", "metrics_port", "linger"))
def submit(scenario: str, **flags: Any) -> None:
    """SCENARIO as a Ray job at the job server --address URL; its log here, its results here, its exit status."""
    from cluster.faults import FAULT_POINTS
    from workloads import scenario as scenarios
    from workloads.execute import Settings
    from workloads.submit import submit as send

    flags["executor"] = flags["executor"] or "ray"
    found = scenarios.load(scenario, as_overrides(flags), FAULT_POINTS)
    sys.exit(send(found, Settings.of(flags), flags["time_limit"]))


@cli.command()
@click.argument("logs", nargs=-1, required=True, metavar="LOG...")
@click.option("--scenario", help="What the logs do not tell: a TOML file or a shipped scenario.")
@click.option(
    "--vms",
    type=click.IntRange(1, 1_000_000),
    default=1,
    show_default=True,
    help="Copies of each log's VM.",
)
@click.option(
    "--hosts",
    type=click.IntRange(1, 100_000),
    help="Hosts to put the VMs on; 8 at most unless given.",
)
@click.option("--stagger", metavar="DURATION", help="Offset between the starts of successive VMs.")
@click.option(
    "--rate", type=float, help="Conversions per simulated second and VM, whatever the logs' times."
)
@click.option(
    "--back-to-back",
    type=click.IntRange(1),
    metavar="N",
    help="Ignore the logs' times: N conversions of a VM at once.",
)
@click.option(
    "--max-damaged",
    type=click.IntRange(0),
    help="Damaged lines to put up with, unless 1%, at least 100.",
)
@shared
def replay(logs: tuple[str, ...], **flags: Any) -> None:
    """Conversions of QEMU trace logs (-trace 'kvm_*'); each log is a VM, `-` is standard input."""
    from workloads.execute import Settings, execute
    from workloads.replay import scenario_of

    found = scenario_of(logs, flags, as_overrides(flags))
    sys.exit(execute(found, Settings.of(flags), flags["max_damaged"]))


@cli.command()
@click.argument("rows", nargs=-1, metavar="[ROW]...")
@click.option(
    "--cost",
    "costs",
    multiple=True,
    metavar="NAME=VALUE",
    help="Another value for a cost: a duration, or a change such as +10%; repeatable.",
)
@click.option(
    "--seed",
    type=click.IntRange(0),
    default=1,
    show_default=True,
    help="Everything random follows from it.",
)
@click.option("--json", "as_json", is_flag=True, help="Rows as JSON on standard output, alone.")
@click.option("--quiet", is_flag=True, help="No line a row on standard error.")
def validate(
    rows: tuple[str, ...], costs: tuple[str, ...], seed: int, as_json: bool, quiet: bool
) -> None:
    """Published measurements beside simulated ones: VT1 to VT16, or the ROWs named. A minute for all of them."""
    from workloads.validation.command import validate as run_rows

    sys.exit(run_rows(rows, costs, seed, as_json, quiet))


@cli.command("list")
@click.argument("kind", required=False)
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def list_(kind: str | None, as_json: bool) -> None:
    """What can be named: scenarios, traces, workloads, protocols, faults, anomalies, invariants, costs, checks."""
    from workloads.catalogue import show_kind

    click.echo(show_kind(kind, as_json))


@cli.command()
@click.argument("scenario")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def show(scenario: str, overrides: tuple[str, ...], as_json: bool) -> None:
    """Every key of SCENARIO with its value, default, unit and meaning."""
    from workloads.catalogue import show_scenario

    click.echo(show_scenario(scenario, overrides, as_json))


@cli.command()
@click.argument("result")
@click.option(
    "--openmetrics", is_flag=True, help="Print its metrics over time, to fill a Prometheus with."
)
def report(result: str, openmetrics: bool) -> None:
    """Rebuild report.html of a results folder."""
    from workloads.outcome.history import history_text
    from workloads.outcome.report import rebuild

    if openmetrics:
        click.echo(history_text(result), nl=False)
    else:
        click.echo(rebuild(result))


@cli.command()
@click.option(
    "--results", default="results", show_default=True, metavar="DIR", help="Whose runs to watch."
)
@click.option(
    "--port", type=click.IntRange(1, 65535), default=9090, show_default=True, help="Of Prometheus."
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
        fail(" ".join(error.format_message().split()))
    except click.Abort:
        fail("interrupted")
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(0)


def fail(text: str, status: int = USAGE_ERROR) -> None:
    """One line, and out."""
    click.echo(f"gmemsim: {text}", err=True)
    sys.exit(status)
