"""Commands that run scenarios: once, for every protocol, from logs, as jobs, and on from where one was stopped.

What a command needs is imported when it runs, so that help answers at once.
"""

import sys
from functools import partial
from typing import Any

import click

from workloads.errors import UsageError
from workloads.flags import (
    OF_ONE_RUN,
    Count,
    as_overrides,
    command,
    loaded,
    refuse_beside_job,
    refuse_idle,
    several_seeds,
    shared,
)


@command(short_help="Simulate a scenario.")
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


@command(short_help="All protocols on the same load and faults, in one table.")
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


@command(short_help="Go on with a run that was stopped.")
@click.argument("result")
@partial(
    shared,
    without=(*OF_ONE_RUN, "seed", "overrides", "results"),
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


@command(short_help="Run a scenario as a Ray job.")
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


@command(short_help="Simulate the conversions of QEMU trace logs.")
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
