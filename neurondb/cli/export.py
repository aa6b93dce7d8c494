"""`neurondb export`: what is stored, as files of other programs; a command a format."""

from pathlib import Path

import click
from rich.console import Console

from neurondb.cli import options


@click.group()
def export() -> None:
    """Write what is stored as files for other programs."""


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


@export.command(name="weight-analysis", short_help="The data.pt of the read-write papers' code.")
@click.argument("model", metavar="MODEL")
@click.argument("file", type=click.Path(path_type=Path), metavar="FILE")
@options.database
def weight_analysis(model: str, file: Path, db: str | None) -> None:
    """Write cosines, classes, norms and random regions of MODEL as the new file FILE, a data.pt.

    It is the dictionary of tensors that sjgerstner/RW_functionalities saves and plots from, with
    signs made canonical as by its --refactor_glu.

    \b
    neurondb export weight-analysis llama-3.2-3b data.pt
    """  # noqa: D301
    from neurondb.exchange.weight_analysis import export_weight_analysis

    n = export_weight_analysis(db, model, file)
    click.echo(f"wrote {file}: {n:,} neurons of {model}", err=True)
