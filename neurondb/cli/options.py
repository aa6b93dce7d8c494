"""Options that several commands share."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from neurondb.render.formats import FORMATS

Command = TypeVar("Command", bound=Callable[..., Any])

database = click.option(
    "--db",
    "db",
    metavar="URL",
    help="Path or SQLAlchemy URL of the database (default: $NEURONDB_URL, else db/neurondb.db).",
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
