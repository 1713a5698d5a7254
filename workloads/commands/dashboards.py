"""`gmemsim dashboards`: boards into a Grafana, over its API or as files."""

import click

from workloads.flags import Commands

PROMETHEUS = "http://127.0.0.1:9090"
prometheus = click.option(
    "--prometheus",
    default=PROMETHEUS,
    show_default=True,
    metavar="URL",
    help="Where Grafana reaches Prometheus.",
)


@click.group(cls=Commands)
def dashboards() -> None:
    """Grafana boards for gmemsim's metrics."""


@dashboards.command()
@click.option(
    "--url", required=True, metavar="URL", help="Of Grafana: http(s)://HOST[:PORT][/PATH]."
)
@click.option(
    "--token-file",
    metavar="FILE",
    help="Holds the service account's token; else GRAFANA_TOKEN does.",
)
@click.option("--dry-run", is_flag=True, help="Say what would change, and change nothing.")
@click.option("--result", metavar="RESULT", help="Mark start, end and verdict of this run, too.")
@prometheus
def publish(
    url: str, token_file: str | None, dry_run: bool, result: str | None, prometheus: str
) -> None:
    """Folder, data source and boards into the Grafana at --url; again and again to the same effect."""
    from workloads.monitoring import publish as publish_all

    publish_all(url, token_file, prometheus, dry_run, result)


@dashboards.command()
@click.argument("folder", metavar="DIR")
@prometheus
def provision(folder: str, prometheus: str) -> None:
    """The same as files below DIR, for Grafana to mount as its provisioning folder."""
    from workloads.monitoring import provision as write

    write(folder, prometheus)
