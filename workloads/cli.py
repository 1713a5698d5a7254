"""The command line: all commands, and what becomes of mistakes."""

import sys

import click

from workloads import __version__
from workloads.commands import looks, questions, runs
from workloads.commands.dashboards import dashboards
from workloads.errors import LostError, UsageError
from workloads.flags import Commands, in_our_words

USAGE_ERROR, UNKNOWN = 2, 3


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="gmemsim")
def cli() -> None:
    """Simulate how confidential VMs convert memory between private and shared, and what it costs."""


for command in (
    runs.run,
    runs.compare,
    questions.sweep,
    questions.explore,
    questions.swarm,
    runs.resume,
    runs.submit,
    runs.replay,
    questions.validate,
    questions.theory,
    looks.list_,
    looks.show,
    looks.report,
    looks.monitor,
    dashboards,
):
    cli.add_command(command)


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
