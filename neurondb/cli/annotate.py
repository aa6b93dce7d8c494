"""`neurondb annotate`: labels and scores made elsewhere go into the database."""

from pathlib import Path

import click

from neurondb.api import Database
from neurondb.cli import options
from neurondb.text_decoding import format_path


@click.command()
@click.argument("file", type=click.Path(path_type=Path), metavar="FILE")
@click.option("--model", metavar="NAME", help="The model of rows that name none.")
@click.option(
    "--source", metavar="NAME", help="Who says it (default: the column source, else FILE's name)."
)
@options.database
def annotate(file: Path, model: str | None, source: str | None, db: str | None) -> None:
    """Store what FILE says of neurons, in the table `annotations`.

    FILE is CSV or TSV with a header, a JSON array of objects, JSON lines, or Parquet. A row names
    its neuron by `neuron`, as text like 31.9634, or by `layer` and `neuron`, and may name its
    `model`. It says one thing in the columns `key` and `value` (and `note`, `source`), or else one
    thing in each other column, whose name is the key. What the same source said of the same neuron
    and key is replaced; the rest stays. All of it is stored or nothing; `neurondb show` and the
    site have it on a neuron's page.

    \b
    neurondb annotate labels.csv --model llama-3.2-3b
    neurondb annotate scores.jsonl --source autointerp-v2
    """  # noqa: D301
    with Database(db) as database:
        report = database.annotate(file, model=model, source=source)
    click.echo(
        f"{format_path(file.name)}: {report.n_new:,} new, {report.n_changed:,} changed, "
        f"{report.n_same:,} as before",
        err=True,
    )
