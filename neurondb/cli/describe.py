"""`neurondb describe`: one line a neuron on what it does, composed of what is stored."""

import click
from rich.console import Console

from neurondb.api import Database
from neurondb.cli import options
from neurondb.formatting.numbers import format_count, format_duration
from neurondb.terminal.progress import choose_progress
from neurondb.writing.descriptions import DescribeReport


@click.command()
@click.argument("model")
@click.option("--force", is_flag=True, help="Compose again what is up to date.")
@options.database
def describe(model: str, force: bool, db: str | None) -> None:
    """Describe every neuron of MODEL in a line, from what is stored of it.

    The line says what stands out of chance, the most telling first, each with its number: tokens
    that it fires on, reads, promotes and suppresses, its class, role, heads. `ingest`, `merge`,
    `families` and `heads` do this at their end. Lines that are up to date are left alone.

    \b
    neurondb describe llama-3.2-3b
    neurondb find "description~'weekday' model=llama-3.2-3b"
    neurondb show llama-3.2-3b 27.8000
    """  # noqa: D301
    progress = choose_progress(Console(stderr=True))
    with Database(db) as database:
        report = database.describe(model, force=force, progress=progress)
    click.echo(format_report(report), err=True)


def format_report(report: DescribeReport) -> str:
    """Return the line that says what was described."""
    if not report.n:
        return f"{report.model}: descriptions are up to date; --force composes them again"
    return (
        f"{report.model}: {format_count(report.n, 'neuron')} described; of {report.n_nothing:,} "
        f"nothing stands out ({format_duration(report.seconds)})"
    )
