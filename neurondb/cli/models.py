"""`neurondb models`: which models there are."""

from pathlib import Path

import click

from neurondb.api import Database
from neurondb.cli import options
from neurondb.known_models import KNOWN
from neurondb.reading.models import ModelSummary
from neurondb.render.console import console
from neurondb.render.formats import Destination, deliver
from neurondb.render.models import known_rows, known_table, model_rows, models_table


@click.command()
@click.option("--known", is_flag=True, help="List the models that `ingest` knows by a short name.")
@options.results
def models(known: bool, form: str | None, output: Path | None, db: str | None) -> None:
    """List the models in the database, or the known ones."""
    destination = Destination(form, output)
    as_table = output is None and destination.chosen == "table"
    if known:
        listed = tuple(KNOWN.values())
        if as_table:
            console().print(known_table(listed))
        else:
            deliver(known_rows(listed), destination)
        return
    with Database(db) as database:
        found = database.models
    _say_if_empty(found)
    if not as_table:
        deliver(model_rows(found), destination)
    elif found:
        console().print(models_table(found))


def _say_if_empty(found: tuple[ModelSummary, ...]) -> None:
    if not found:
        click.echo(
            "no models yet: add one with `neurondb ingest MODEL`, try `neurondb demo`, "
            "or see `neurondb models --known`",
            err=True,
        )
