"""`neurondb compare`: two models, neuron by neuron."""

from pathlib import Path

import click
from rich.console import Console

from neurondb.cli import options
from neurondb.contracts.compare import CompareRequest
from neurondb.contracts.registry import load_job
from neurondb.reading import comparisons
from neurondb.reading.models import open_readonly
from neurondb.reading.pairs import find_pair, find_stored_comparison, list_without_vocabulary
from neurondb.terminal.comparison import (
    NARROWEST,
    draw_comparison_page,
    format_missing_vocabularies,
    make_comparison_rows,
)
from neurondb.terminal.console import open_console
from neurondb.terminal.output_formats import Destination, write_rows
from neurondb.terminal.progress import choose_progress

SHOWN = 10
"""Neurons that moved most, on the page."""


@click.command()
@click.argument("before", metavar="A")
@click.argument("after", metavar="B")
@options.limit(f"Neurons that moved most (default: {SHOWN} on the page, else all)")
@click.option("--force", is_flag=True, help="Compare again what has been compared already.")
@options.results
def compare(
    before: str,
    after: str,
    limit: int | None,
    force: bool,
    form: str | None,
    output: Path | None,
    db: str | None,
) -> None:
    """Compare model A with model B, neuron by neuron: before and after fine-tuning.

    Both are models of the database, of one architecture and shape. Their checkpoints must be where
    they were read from, unchanged; the answer is stored, and the next time read from there.

    \b
    neurondb compare llama-3.1-8b llama-3.1-8b-instruct
    neurondb compare llama-3.1-8b llama-3.1-8b-instruct --format csv -o moved.csv
    neurondb query class-migration --param before=llama-3.1-8b
    """  # noqa: D301
    destination = Destination(form, output)
    as_page = destination.chosen == "table" and destination.file is None
    with open_readonly(db) as connection:
        comparison_id = find_stored_comparison(connection, find_pair(connection, before, after))
    if force or comparison_id is None:
        request = CompareRequest(before, after, db)
        comparison_id = int(load_job("compare")(request, choose_progress(Console(stderr=True))))
    with open_readonly(db) as connection:
        pair = find_pair(connection, before, after)
        if as_page:
            limit_shown = SHOWN if limit is None else limit or None
            page = comparisons.read_comparison_page(connection, pair, comparison_id, limit_shown)
            terminal = open_console()
            terminal.width = max(terminal.width, NARROWEST)
            terminal.print(draw_comparison_page(page, terminal.width), crop=False)
        else:
            rows = comparisons.read_comparison_rows(connection, pair, comparison_id, limit or None)
            write_rows(make_comparison_rows(rows), destination)
            for line in format_missing_vocabularies(list_without_vocabulary(connection, pair)):
                click.echo(line, err=True)
