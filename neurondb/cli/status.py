"""`neurondb status`: what has been ingested, what is missing, what was interrupted."""

from pathlib import Path

import click

from neurondb.cli import options
from neurondb.formatting.documents import format_json
from neurondb.reading.models import open_readonly
from neurondb.reading.status import DatabaseStatus, read_status
from neurondb.sql import Rows
from neurondb.terminal.console import open_console
from neurondb.terminal.models import draw_status_page
from neurondb.terminal.output_formats import write_rows, write_text


@click.command()
@click.argument("model", required=False)
@options.page_results
def status(model: str | None, form: str | None, output: Path | None, db: str | None) -> None:
    """Tell what has been ingested into the database, or of one MODEL, and what is missing.

    JSON is one object; other formats have a row for each stage of a model.
    """
    with open_readonly(db) as connection:
        database_status = read_status(connection, model)
    destination = options.page_destination(form, output)
    if destination.chosen == "json":
        write_text(f"{format_json(database_status)}\n", destination)
    elif destination.chosen == "table" and destination.file is None:
        open_console().print(draw_status_page(database_status), crop=False)
    else:
        write_rows(_make_rows(database_status), destination, "model")
    if not database_status.models:
        click.echo("no models yet: add one with `neurondb ingest MODEL`", err=True)


def _make_rows(database_status: DatabaseStatus) -> Rows:
    """Return the stages of every model, each as a row."""
    columns = ("stage", "dataset", "layers_done", "layers", "rows", "seconds", "finished_at")
    rows = (
        (model_status.model, *(getattr(stage, name) for name in columns))
        for model_status in database_status.models
        for stage in model_status.stages
    )
    return Rows(("model", *columns), rows)
