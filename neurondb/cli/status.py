"""`neurondb status`: what has been ingested, what is missing, what was interrupted."""

import click

from neurondb.cli import options
from neurondb.formatting.documents import format_json
from neurondb.reading.models import open_readonly
from neurondb.reading.status import read_status
from neurondb.terminal.console import open_console
from neurondb.terminal.models import draw_status_page


@click.command()
@click.argument("model", required=False)
@click.option(
    "--format",
    "form",
    type=click.Choice(("table", "json")),
    default="table",
    show_default=True,
    help="A page for people, or one JSON object.",
)
@options.database
def status(model: str | None, form: str, db: str | None) -> None:
    """Tell what has been ingested into the database, or of one MODEL, and what is missing."""
    with open_readonly(db) as connection:
        found = read_status(connection, model)
    if form == "json":
        click.echo(format_json(found))
        return
    open_console().print(draw_status_page(found), crop=False)
    if not found.models:
        click.echo("no models yet: add one with `neurondb ingest MODEL`", err=True)
