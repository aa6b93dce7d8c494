"""Options that several commands share, values with a spelling of their own, help in sections."""

import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from neurondb.cli.arguments import PATH_OR_NAME
from neurondb.contracts.peaks import DEFAULT_PEAK_COUNT
from neurondb.errors import UsageError
from neurondb.neurons import parse_layers
from neurondb.sql.query_files import read_sql_file
from neurondb.terminal.output_formats import FORMATS, Destination
from neurondb.text_decoding import decode

Command = TypeVar("Command", bound=Callable[..., Any])
MOST_TERM: Final = 28
"""Columns of the longest option whose help stands beside it, in every section."""

database = click.option(
    "--db",
    "db",
    type=PATH_OR_NAME,
    metavar="URL",
    help="Path or SQLAlchemy URL of the database (default: $NEURONDB_URL, else "
    "db/neurondb.db of a checkout, else neurondb.db in the user's data directory).",
)

format_name = click.option(
    "--format",
    "form",
    type=click.Choice(tuple(FORMATS)),
    help="Default: what the suffix of -o says, else table on a terminal, else tsv.",
)

output = click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write to a file, which appears only when all of it is there.",
)


def results(command: Command) -> Command:
    """Add what every command that shows rows takes: --format, --output and --db."""
    return format_name(output(database(command)))


def page_results(command: Command) -> Command:
    """Add --format, --output and --db to a command that shows a page unless told otherwise."""
    form = click.option(
        "--format",
        "form",
        type=click.Choice(tuple(FORMATS)),
        help="Default: what the suffix of -o says, else table, which is a page for people.",
    )
    return form(output(database(command)))


def page_destination(form: str | None, output: Path | None) -> Destination:
    """Return where a page goes: without a format or a file it is a table, also in a pipe."""
    return Destination(form or ("table" if output is None else None), output)


class Renamed(click.Option):
    """An option that is still understood by a name it had, which no help mentions."""

    def __init__(self, *args: Any, formerly: Sequence[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._formerly = tuple(formerly)

    def add_to_parser(self, parser: Any, ctx: click.Context) -> None:
        """Let the parser know all names; help and messages know those of today."""
        of_today, self.opts = self.opts, [*self.opts, *self._formerly]
        super().add_to_parser(parser, ctx)
        self.opts = of_today


def device(where: str = "") -> Callable[[Command], Command]:
    """Return the option --device; `where` says what of the command computes there."""
    kinds = "auto, cpu, cuda, cuda:1, mps"
    help_ = f"Where {where}: {kinds}; in float32." if where else f"{kinds}."
    return click.option("--device", default="auto", show_default=True, help=help_)


_dtype = click.option(
    "--dtype", default="auto", show_default=True, help="auto, float32, bfloat16 or float16."
)


def machine(command: Command) -> Command:
    """Add where a model runs and in which precision: --device and --dtype."""
    return device()(_dtype(command))


def devices(command: Command) -> Command:
    """Add the same, where several devices may compute side by side."""
    several = click.option(
        "--device",
        default="auto",
        show_default=True,
        metavar="NAME,...",
        help="auto, cpu, cuda, cuda:1, mps; several, like cuda:0,cuda:1, share the work.",
    )
    return several(_dtype(command))


executor = click.option(
    "--executor",
    metavar="local|ray[:ADDRESS]",
    default="local",
    show_default=True,
    help="Compute on this machine, or on a Ray cluster: one task a card, a dead one's shard again.",
)


def machines(command: Command) -> Command:
    """Add where and in which precision a model runs, on several devices or a cluster too."""
    return devices(executor(command))


def seed(of: str) -> Callable[[Command], Command]:
    """Return the option --seed, which is never negative; `of` says what is drawn by it."""
    return click.option(
        "--seed", type=click.IntRange(0), default=0, show_default=True, metavar="N", help=of
    )


peak_count = click.option(
    "--peak-count",
    type=click.IntRange(1),
    default=DEFAULT_PEAK_COUNT,
    show_default=True,
    metavar="N",
    help="Peak tokens: those that stand at, before or after the peak in N examples of a list; "
    "1 keeps every one.",
)


def limit(shown: str, default: int | None = None) -> Callable[[Command], Command]:
    """Return the option --limit, of which 0 is all; `shown` says what is counted."""
    return click.option(
        "--limit",
        type=click.IntRange(0),
        default=default,
        show_default=default is not None,
        metavar="N",
        help=f"{shown}; 0 for all.",
    )


def several_models(use: str) -> Callable[[Command], Command]:
    """Return the option --model that may be given again; `use` says what is done with each."""
    return click.option(
        "--model",
        "models",
        multiple=True,
        metavar="NAME",
        help=f"{use}; once for each (default: all).",
    )


force_runs = click.option("--force", is_flag=True, help="Run and store again what is stored.")


def describe_stored(run_id: int, *, was_stored: bool) -> str:
    """Return a line on a run that is stored, now or before."""
    return f"run {run_id}, " + ("stored already; --force runs it again" if was_stored else "stored")


def was_given(name: str) -> bool:
    """Tell whether a parameter of the running command was given, its default or another value."""
    source = click.get_current_context().get_parameter_source(name)
    return source is not None and source is not click.core.ParameterSource.DEFAULT


def _bindings(
    _context: click.Context, _option: click.Parameter, given: tuple[str, ...]
) -> dict[str, str]:
    found: dict[str, str] = {}
    for item in given:
        name, equals, value = item.partition("=")
        if not equals or not name.isidentifier():
            raise click.BadParameter(f"{item!r} is not NAME=VALUE")
        if name in found:
            raise click.BadParameter(f"{name!r} is given twice")
        found[name] = value
    return found


parameters = click.option(
    "--param",
    "given",
    multiple=True,
    metavar="NAME=VALUE",
    callback=_bindings,
    help="Value of a parameter; once for each.",
)


def text_of(given: str) -> str:
    """Return what stands on standard input for `-`, in a file for `@FILE`, else what was given."""
    if given == "-":
        return decode(sys.stdin.buffer.read(), "standard input")
    return read_sql_file(Path(given[1:])) if given.startswith("@") else given


class Layers(click.ParamType[tuple[int, ...]]):
    """`0-3,7,-1`: numbers and ranges, negative ones counted from the end."""

    name = "LAYERS"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, ...]:
        """Return the numbers as they were given, ranges written out."""
        try:
            return parse_layers(str(value))
        except UsageError as error:
            self.fail(str(error), param, ctx)


layers = click.option(
    "--layers",
    cls=Renamed,
    formerly=("--layer",),
    type=Layers(),
    help="Only these, like 0-3,7,-1; -1 is the last one.",
)


class Shard(click.ParamType[tuple[int, int]]):
    """`2/8`: the second of eight."""

    name = "I/N"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int]:
        """Return (number of the shard, from 1; shards)."""
        found = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", str(value))
        if found is None or not 1 <= int(found[1]) <= int(found[2]):
            self.fail(f"{value!r} is not I/N with 1 ≤ I ≤ N, like 2/8", param, ctx)
        return int(found[1]), int(found[2])


class Window(click.ParamType[tuple[int, int]]):
    """`24,3`: tokens before and after a place."""

    name = "BEFORE,AFTER"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int]:
        """Return (tokens before, tokens after)."""
        found = re.fullmatch(r"([0-9]{1,5})\s*,\s*([0-9]{1,5})", str(value))
        if found is None:
            self.fail(f"{value!r} is not BEFORE,AFTER in tokens, like 24,3", param, ctx)
        return int(found[1]), int(found[2])


class Sectioned(click.Command):
    """A command whose help has its options in sections: title → names of parameters."""

    def __init__(self, *args: Any, sections: Mapping[str, Sequence[str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._sections = sections

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the sections; what is in none of them comes last, as Options."""
        records = {
            str(option.name): record
            for option in self.get_params(ctx)
            if isinstance(option, click.Option)
            and (record := option.get_help_record(ctx)) is not None
        }
        width = max(len(term) for term, _ in records.values() if len(term) <= MOST_TERM)
        listed = {name for names in self._sections.values() for name in names}
        sections = dict(self._sections) | {"Options": [n for n in records if n not in listed]}
        for title, names in sections.items():
            with formatter.section(title):
                formatter.write_dl(
                    [(records[name][0].ljust(width), records[name][1]) for name in names],
                    col_max=width,
                )


@contextmanager
def saying_what_stays() -> Iterator[None]:
    """Say how to go on where Ctrl-C ends a job that stores what it has finished."""
    try:
        yield
    except KeyboardInterrupt:
        click.echo("what is finished is stored; the same command goes on from there", err=True)
        raise
