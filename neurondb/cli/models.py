"""`neurondb models`: which models there are."""

from pathlib import Path

import click

from neurondb.api import Database
from neurondb.cli import options
from neurondb.known_models import KNOWN
from neurondb.reading.models import ModelSummary
from neurondb.terminal.console import open_console
from neurondb.terminal.models import (
    draw_known_models_table,
    draw_models_table,
    make_known_model_rows,
    make_model_rows,
)
from neurondb.terminal.output_formats import Destination, write_rows


@click.command()
@click.option("--known", is_flag=True, help="List the models that `ingest` knows by a short name.")
@options.results
def models(known: bool, form: str | None, output: Path | None, db: str | None) -> None:
    """List the models in the database, or the known ones."""
    destination = Destination(form, output)
    as_table = output is None and destination.chosen == "table"
    if known:
        known_models = tuple(KNOWN.values())
        if as_table:
            open_console().print(draw_known_models_table(known_models))
        else:
            write_rows(make_known_model_rows(known_models), destination)
        return
    with Database(db) as database:
        summaries = database.models
    _say_if_empty(summaries)
    if not as_table:
        write_rows(make_model_rows(summaries), destination)
    elif summaries:
        open_console().print(draw_models_table(summaries))


def _say_if_empty(summaries: tuple[ModelSummary, ...]) -> None:
    if not summaries:
        click.echo(
            "no models yet: add one with `neurondb ingest MODEL`, try `neurondb demo`, "
            "or see `neurondb models --known`",
            err=True,
        )
