"""`neurondb export`: what is stored, as files of other programs; a command a format."""

from pathlib import Path

import click
from rich.console import Console

from neurondb.cli import options
from neurondb.text_decoding import format_path


@click.group()
def export() -> None:
    """Write what is stored as files for other programs."""


@export.command(short_help="Lists, stars, notes and labels, to be merged elsewhere.")
@click.argument("file", type=click.Path(path_type=Path), metavar="FILE")
@options.database
@click.option(
    "--model",
    "models",
    multiple=True,
    metavar="NAME",
    help="Only of this model's neurons; once for each (default: all).",
)
def annotations(file: Path, db: str | None, models: tuple[str, ...]) -> None:
    """Write what people and programs said of neurons into FILE, as JSON lines.

    A line names its neuron by the fingerprint of the model's weights and by L.N, never by an id, so
    that `neurondb import annotations FILE` merges it into any database that has the same weights,
    under whatever name. What was removed is written too, as a digest without its words.

    \b
    neurondb export annotations ours.ndjson
    neurondb import annotations ours.ndjson --db theirs.db
    """  # noqa: D301
    from neurondb.api import Database

    with Database(db) as database:
        exported = database.export_annotations(file, *models)
    click.echo(
        f"exported {exported.n_said:,} annotations of {len(exported.models)} "
        f"model{'s' * (len(exported.models) != 1)} to {format_path(file)}, and "
        f"{exported.n_removed:,} that were removed",
        err=True,
    )


@export.command(short_help="A dataset a relation, partitioned by model and layer.")
@click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")
@options.database
@click.option(
    "--model",
    "models",
    multiple=True,
    metavar="NAME",
    help="Export this model, and the texts it read; once for each (default: all).",
)
@click.option(
    "--relations",
    default="",
    metavar="NAME,...",
    help="Only these, such as neurons,top_tokens (default: all, which can be imported again).",
)
def parquet(folder: Path, db: str | None, models: tuple[str, ...], relations: str) -> None:
    """Write Parquet into the new folder DIR: a dataset a relation, partitioned by model and layer.

    Relations have the names of tables and views, words in place of codes, and names beside ids, so
    that DuckDB, polars, pandas and the hub's viewer read them as they are. A README.md says what
    each column means. `neurondb import parquet DIR` makes the database again.

    \b
    neurondb export parquet neurons
    neurondb export parquet lists --model llama-3.2-3b --relations top_tokens,neuron_overview
    duckdb -c "SELECT token, count(*) FROM 'neurons/top_tokens/**/*.parquet' GROUP BY ALL"
    """  # noqa: D301
    from neurondb.exchange.parquet.exporting import export_parquet
    from neurondb.terminal.progress import choose_progress
    from neurondb.transfer.databases import open_source

    names = [name.strip() for name in relations.split(",") if name.strip()]
    with open_source(db, models) as source:
        exported = export_parquet(source, folder, names, choose_progress(Console(stderr=True)))
    n = len(exported.models)
    click.echo(
        f"exported {n} model{'s' * (n != 1)} to {folder}: {sum(exported.rows.values()):,} rows of "
        f"{len(exported.rows)} relations",
        err=True,
    )
