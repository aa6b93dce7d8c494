"""`neurondb copy`: all of a database, or some of its models, into another one."""

import click
from rich.console import Console

from neurondb.cli import options
from neurondb.cli.arguments import PATH_OR_NAME
from neurondb.database import format_url, parse_url


@click.command()
@click.argument("source", type=PATH_OR_NAME, metavar="SRC")
@click.argument("destination", type=PATH_OR_NAME, metavar="DST")
@options.several_models("Copy this model, and the texts it read")
def copy(source: str, destination: str, models: tuple[str, ...]) -> None:
    """Copy a database, or models of it, into another: SQLite and PostgreSQL, either way.

    SRC and DST are paths or SQLAlchemy URLs. DST is made where there is none, and may hold other
    models; one that it has already is refused. Rows are read back and compared by checksums. A copy
    into an empty database that was stopped goes on when the same command is given again; one beside
    other models is a single transaction, of which nothing is seen before its end.

    \b
    neurondb copy neurons.db postgresql://lab/neurons
    neurondb copy postgresql://lab/neurons laptop.db --model llama-3.2-3b
    """  # noqa: D301
    from neurondb.terminal.progress import choose_progress
    from neurondb.transfer.copying import copy_into
    from neurondb.transfer.databases import open_source, refuse_to_copy

    refuse_to_copy(source, destination)
    with open_source(source, models) as opened:
        copied = copy_into(opened, destination, choose_progress(Console(stderr=True)))
    n = len(copied.models)
    there, here = map(_hide_password, (destination, source))
    click.echo(
        f"copied {n} model{'s' * (n != 1)} to {there}: {copied.n_rows:,} rows of "
        f"{len(copied.rows)} relations, the same as in {here} by their checksums"
        f"{copied.shared_note}",
        err=True,
    )


def _hide_password(database: str) -> str:
    """Return a path as it was typed, and a URL as messages have it."""
    return format_url(parse_url(database)) if "://" in database else database
