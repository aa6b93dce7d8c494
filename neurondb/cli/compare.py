"""`neurondb compare`: two models, neuron by neuron, or a series of models."""

from collections.abc import Sequence
from pathlib import Path

import click
from rich.console import Console

from neurondb.cli import options
from neurondb.contracts.compare import CompareRequest, SeriesRequest
from neurondb.contracts.registry import load_job
from neurondb.errors import UsageError
from neurondb.reading import comparisons
from neurondb.reading.models import open_readonly
from neurondb.reading.pairs import find_pair, find_stored_comparison, list_without_vocabulary
from neurondb.reading.series import find_series_models, find_stored_series, read_series
from neurondb.reading.series_page import read_series_page, read_series_rows
from neurondb.terminal.comparison import (
    NARROWEST,
    draw_comparison_page,
    format_missing_vocabularies,
    make_comparison_rows,
)
from neurondb.terminal.console import open_console
from neurondb.terminal.output_formats import Destination, write_rows
from neurondb.terminal.progress import choose_progress
from neurondb.terminal.series import draw_series_page, make_series_rows

SHOWN = 10
"""Neurons that moved most, on the page."""


@click.command()
@click.argument("models", metavar="A B [C...]", nargs=-1)
@options.limit(f"Neurons that moved most (default: {SHOWN} on the page, else all)")
@click.option("--force", is_flag=True, help="Compare again what has been compared already.")
@options.results
def compare(
    models: tuple[str, ...],
    limit: int | None,
    force: bool,
    form: str | None,
    output: Path | None,
    db: str | None,
) -> None:
    """Compare model A with model B, neuron by neuron: before and after fine-tuning.

    With three models or more, compare them as a series, in this order: checkpoints of a training,
    quantisations, fine-tunes. The page has the paths of classes, what each step moved, and medians.
    Of a series each model is compared with the one before it and with the first.

    All are models of the database, of one architecture and shape. Their checkpoints must be where
    they were read from, unchanged; answers are stored, and the next time read from there.

    \b
    neurondb compare llama-3.1-8b llama-3.1-8b-instruct
    neurondb compare llama-3.1-8b llama-3.1-8b-instruct --format csv -o moved.csv
    neurondb query class-migration --param before=llama-3.1-8b
    neurondb compare STEP-1000 STEP-2000 STEP-4000
    neurondb query class-paths
    """  # noqa: D301
    if len(models) < 2:
        raise UsageError(f"compare takes two models or more: A B [C...], not {len(models)}")
    destination = Destination(form, output)
    if len(models) > 2:
        _compare_series(models, limit, destination, db, force=force)
    else:
        _compare_pair(models[0], models[1], limit, destination, db, force=force)


def _shows_page(destination: Destination) -> bool:
    return destination.chosen == "table" and destination.file is None


def _compare_pair(
    before: str,
    after: str,
    limit: int | None,
    destination: Destination,
    db: str | None,
    *,
    force: bool,
) -> None:
    with open_readonly(db) as connection:
        comparison_id = find_stored_comparison(connection, find_pair(connection, before, after))
    if force or comparison_id is None:
        request = CompareRequest(before, after, db)
        comparison_id = int(load_job("compare")(request, choose_progress(Console(stderr=True))))
    with open_readonly(db) as connection:
        pair = find_pair(connection, before, after)
        if _shows_page(destination):
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


def _compare_series(
    names: Sequence[str],
    limit: int | None,
    destination: Destination,
    db: str | None,
    *,
    force: bool,
) -> None:
    with open_readonly(db) as connection:
        series_id = find_stored_series(connection, find_series_models(connection, names))
    if force or series_id is None:
        request = SeriesRequest(tuple(names), db, force)
        series_id = int(load_job("compare")(request, choose_progress(Console(stderr=True))))
    with open_readonly(db) as connection:
        series = read_series(connection, series_id)
        if _shows_page(destination):
            n_moved = SHOWN if limit is None else limit or None
            page = read_series_page(connection, series, n_moved=n_moved)
            terminal = open_console()
            terminal.width = max(terminal.width, NARROWEST)
            terminal.print(draw_series_page(page, terminal.width), crop=False)
        else:
            rows = read_series_rows(connection, series, limit or None)
            write_rows(make_series_rows(rows), destination)
