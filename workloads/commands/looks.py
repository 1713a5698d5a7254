"""Commands that show: what there is, what a scenario means, a report, a Prometheus.

What a command needs is imported when it runs, so that help answers at once.
"""

import click

from workloads.errors import UsageError
from workloads.flags import Count, command, once
from workloads.reader import to_reader


@command("list", short_help="What can be named: scenarios, protocols, faults, ...")
@click.argument("kind", required=False)
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def list_(kind: str | None, as_json: bool) -> None:
    """What can be named: scenarios, experiments, workloads, protocols, faults, anomalies, costs, and more."""
    from workloads.catalogue import show_kind

    with to_reader():
        click.echo(show_kind(kind, as_json))


@command(
    short_help="Every key of a scenario, with its meaning; what an experiment asks and runs.",
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


@command(short_help="Make report.html of results again.")
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


@command(short_help="A Prometheus that scrapes every served run.")
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
