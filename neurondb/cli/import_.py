"""`neurondb import`: what `neurondb export` wrote, back into a database; a command a format."""

from pathlib import Path

import click
from rich.console import Console

from neurondb.cli import options
from neurondb.text_decoding import format_path


@click.group("import")
def import_() -> None:
    """Read what `neurondb export` wrote into a database."""


@import_.command(short_help="Lists, stars, notes and labels of another database.")
@click.argument("file", type=click.Path(path_type=Path), metavar="FILE")
@options.database
def annotations(file: Path, db: str | None) -> None:
    """Merge what FILE says of neurons, which `neurondb export annotations` wrote.

    Models are told by the fingerprint of their weights. Nothing that somebody said is overwritten:
    where two databases differ, both are kept. What was removed in one of them is removed here too,
    unless it was said again later. Merging a file again changes nothing. All of it is merged or
    nothing; what is said of models that are not here is left out, and counted. Labels from
    elsewhere, in CSV or JSON, go in with `neurondb annotate`.

    \b
    neurondb import annotations ours.ndjson
    """  # noqa: D301
    from neurondb.api import Database

    with Database(db) as database:
        merged = database.import_annotations(file)
    click.echo(f"{format_path(file.name)}: {merged.describe()}", err=True)


@import_.command(short_help="The folder that `export parquet` wrote.")
@click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")
@options.database
def parquet(folder: Path, db: str | None) -> None:
    """Store the models of DIR, which `neurondb export parquet` wrote with all relations.

    The database is made where there is none, and may hold other models; one that it has already is
    refused. Rows are read back and compared with the checksums of those that were exported. Into an
    empty database an import that was stopped goes on when the same command is given again.

    \b
    neurondb import parquet neurons --db other.db
    """  # noqa: D301
    from neurondb.exchange.parquet.importing import ParquetSource
    from neurondb.terminal.progress import choose_progress
    from neurondb.transfer.copying import copy_into

    copied = copy_into(ParquetSource(folder), db, choose_progress(Console(stderr=True)))
    n = len(copied.models)
    click.echo(
        f"imported {n} model{'s' * (n != 1)}: {copied.n_rows:,} rows of {len(copied.rows)} "
        "relations, the same as were exported by their checksums",
        err=True,
    )
