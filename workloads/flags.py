"""Flags of the command line: which keys of a scenario they are, what they take, and which do nothing alone."""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any

import click

# Flags that are keys of the scenario by another name.
KEYS = {
    "executor": "engine.executor",
    "partitions": "engine.partitions",
    "placement": "engine.placement",
    "seed": "scenario.seed",
    "protocol": "protocol.name",
    "pace": "engine.pace",
    "metrics_port": "metrics.port",
    "linger": "metrics.linger",
}
LISTS = {"overrides": "--set", "timelines": "--timeline"}
OF_RAY = ("partitions", "placement", "address")


class Count(click.ParamType[int]):
    """A whole number in a range; what is wrong with it is said as of a scenario's keys."""

    name = "N"

    def __init__(self, low: int, high: int = 2**63 - 1) -> None:
        self.low, self.high = low, high

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """See click.ParamType."""
        from workloads.scenario.keys import count
        from workloads.scenario.values import read

        try:
            found: Any = int(value)
        except ValueError:
            found = value
        try:
            number: int = read(count("", "", self.low, self.high), found)
        except ValueError as error:
            self.fail(str(error), param, ctx)
        return number


class Once(click.Command):
    """A command of whose flags each is given once, but for those that may be repeated: nobody types one for nothing."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """See click.Command."""
        _, _, given = self.make_parser(ctx).parse_args(args=list(args))
        for param in given:
            if isinstance(param, click.Option) and not param.multiple and given.count(param) > 1:
                raise click.BadParameter("is given twice, expected once", ctx=ctx, param=param)
        return super().parse_args(ctx, args)


class Commands(click.Group):
    """A group of them."""

    command_class = Once


command = partial(click.command, cls=Once)
"""Declares one apart from its group."""
# Flags of a run that begins here and is the only one.
OF_ONE_RUN = (
    "partitions",
    "placement",
    "protocol",
    "pace",
    "metrics_port",
    "linger",
    "timelines",
)


# Flag, what stands behind it, what it is. Without it the scenario's key counts, whose default is told here.
VALUES = (
    ("--executor", "local|ray", "One process, or Ray. [default: local]"),
    ("--partitions", "N", "Ray actors; 0 = one for each CPU. [default: 0]"),
    (
        "--placement",
        "NAME",
        "Which actors share a partition: packed, host, kind or instance. [default: packed]",
    ),
    (
        "--address",
        "ADDRESS",
        "A running Ray: HOST:PORT, ray://HOST:PORT or auto. [default: start one here]",
    ),
    ("--seed", "N", "Everything random follows from it. [default: 1]"),
    (
        "--protocol",
        "NAME",
        "Conversion protocol, one of `gmemsim list protocols`. [default: two-phase]",
    ),
    ("--expect-digest", "HEX", "Fail unless the run has this digest: exit status 1."),
    (
        "--pace",
        "DURATION",
        "Simulated time in each second of wall time, such as 1ms, to watch it. [default: as fast as it can]",
    ),
    ("--metrics-port", "PORT", "Serve Prometheus metrics; 0 = any port. [default: none]"),
    (
        "--linger",
        "DURATION",
        "Keep serving metrics for so long after the end, such as 1min. [default: 0s]",
    ),
    (
        "--time-limit",
        "DURATION",
        "Of wall-clock time, such as 30s or 5min; reaching it is `unknown`: exit status 3.",
    ),
)


def seed_option(text: str) -> Callable[..., Any]:
    """--seed of a command that has no scenario."""
    return click.option("--seed", type=Count(0), default=1, show_default=True, help=text)


TYPES = {"--metrics-port": Count(0, 65_535)}  # the key's -1, for none, is what nobody would type


def shared(
    command: Callable[..., None], without: Collection[str] = (), otherwise: Mapping[str, str] = {}
) -> Callable[..., None]:
    """The flags of every command that simulates (docs/reference/results.md has what comes out).

    `otherwise` is what a flag is for this command, where that is something else.
    """
    options = [
        *(
            click.option(flag, metavar=value, help=otherwise.get(flag, text), type=TYPES.get(flag))
            for flag, value, text in VALUES
        ),
        click.option(
            "--set",
            "overrides",
            multiple=True,
            metavar="KEY=VALUE",
            help="Any key of `gmemsim show`, such as vm.memory=8GiB; repeatable.",
        ),
        click.option(
            "--timeline",
            "timelines",
            multiple=True,
            metavar="vm=HOST/VM",
            help="Write this VM's timeline, for Perfetto; such as vm=0/3, repeatable.",
        ),
        click.option(
            "--results",
            default="results",
            show_default=True,
            metavar="DIR",
            help=otherwise.get("--results", "Where the results go: DIR/SCENARIO/TIME-SEED."),
        ),
        click.option(
            "--json",
            "as_json",
            is_flag=True,
            help=otherwise.get(
                "--json", "What summary.json has, or compare.json, on standard output, alone."
            ),
        ),
        click.option(
            "--live", is_flag=True, help="A view of the run in the terminal, twice a second."
        ),
        click.option("--quiet", is_flag=True, help="No progress and no table."),
    ]
    for option in reversed(options):
        command = option(command)
    known: list[click.Option] = vars(command)["__click_params__"]
    known[:] = [option for option in known if option.name not in without]
    return command


several_seeds = click.option(
    "--seeds",
    type=Count(1, 10_000),
    default=1,
    show_default=True,
    metavar="N",
    help="So many runs, with the scenario's seed and those after it: means with 95% intervals; 10000 at most.",
)


def typed(flag: str) -> str:
    """As a user types it."""
    return f"--{flag.replace('_', '-')}"


def as_overrides(flags: dict[str, Any]) -> list[Any]:
    """Flags as `--set` texts that know their flag, before the user's own."""
    from workloads.scenario import Given

    named = [
        Given(f"{key}={flags[flag]}", typed(flag))
        for flag, key in KEYS.items()
        if flags.get(flag) is not None
    ]
    return [*named, *timelines(flags.get("timelines", ())), *once(flags.get("overrides", ()))]


def once(overrides: Sequence[str]) -> Sequence[str]:
    """The texts of --set, if no key is in two of them: the first would do nothing."""
    from workloads.errors import UsageError
    from workloads.wording import printable

    keys = [text.partition("=")[0].strip() for text in overrides if "=" in text]
    twice = next((key for key in keys if keys.count(key) > 1), "")
    if twice:
        raise UsageError(f"--set: {printable(twice[:60])} is given twice, expected once")
    return overrides


def timelines(texts: Sequence[str]) -> list[Any]:
    """--timeline vm=0/3, as often as it was given."""
    from workloads.errors import UsageError
    from workloads.scenario import Given
    from workloads.wording import quote

    for text in texts:
        if not text.startswith("vm="):
            raise UsageError(f"--timeline: found {quote(text)}, expected vm=HOST/VM such as vm=0/3")
    vms = json.dumps([text.removeprefix("vm=") for text in texts])
    return [Given(f"metrics.timelines={vms}", "--timeline")] if texts else []


def loaded(source: str, flags: dict[str, Any]) -> Any:
    """The scenario with the flags applied; flags that would do nothing are a UsageError."""
    from cluster.faults import FAULT_POINTS
    from workloads import scenario as scenarios

    found = scenarios.load(source, as_overrides(flags), FAULT_POINTS)
    refuse_idle(found, flags)
    return found


def refuse_idle(scenario: Any, flags: dict[str, Any]) -> None:
    """Nobody types a flag that is to do nothing."""
    from workloads.errors import UsageError

    if flags.get("address") == "":
        raise UsageError('--address: found "", expected HOST:PORT, ray://HOST:PORT or auto')
    for flag in OF_RAY if scenario.engine.executor == "local" else ():
        if flags.get(flag) is not None:
            raise UsageError(
                f"{typed(flag)}: found no Ray to use it, expected --executor ray beside it"
            )
    if flags.get("linger") is not None and scenario.metrics.port < 0:
        raise UsageError("--linger: found no metrics to serve, expected --metrics-port beside it")


def refuse_beside_job(scenario: str | None, flags: Mapping[str, Any]) -> None:
    """A job that was sent has its scenario."""
    from workloads.errors import UsageError

    named = {**{flag: typed(flag) for flag in (*KEYS, "time_limit")}, **LISTS}
    given = [name for flag, name in named.items() if flags.get(flag) not in (None, ())]
    if scenario is not None or given:
        other = given[0] if scenario is None else scenario
        raise UsageError(f"--job: found {other} beside it, expected no scenario: the job has one")


def in_our_words(error: click.ClickException) -> str:
    """A mistake that click has found: what is wrong, where, and what would be right."""
    match error:
        case click.NoSuchOption():
            likely = ", ".join(error.possibilities or ())
            return f"{error.option_name}: no such flag; {f'nearest: {likely}' if likely else usage(error)}"
        case click.MissingParameter():
            return f"{missing(error)} is missing; {usage(error)}"
        case click.BadParameter():
            where = error.param.opts[0] if error.param else ""
            return f"{where}: {error.message}"
        case click.BadOptionUsage():
            return f"{error.option_name}: found no value, expected one behind it"
        case click.exceptions.NoSuchCommand():
            likely = ", ".join(error.possibilities or ())
            return f"no such command {error.command_name}; {f'nearest: {likely}' if likely else usage(error)}"
    text = " ".join(error.format_message().split()).removesuffix(".")
    return f"{text[:1].lower()}{text[1:]}; {usage(error)}"


def missing(error: click.MissingParameter) -> str:
    """A flag by its name, an argument by what stands for it."""
    param, context = error.param, error.ctx
    if param is None or context is None:
        return ""
    return param.opts[0] if isinstance(param, click.Option) else param.make_metavar(context)


def usage(error: click.ClickException) -> str:
    """How the command is called."""
    context = getattr(error, "ctx", None)
    if context is None or context.parent is None:
        return "gmemsim --help has all commands"
    name = context.command_path.removeprefix(context.find_root().command_path).strip()
    pieces = [
        piece for piece in context.command.collect_usage_pieces(context) if piece != "[OPTIONS]"
    ]
    return f"usage: {' '.join(['gmemsim', name, *pieces])}; gmemsim {name} --help has its flags"
