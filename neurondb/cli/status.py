"""`neurondb status`: what has been ingested, what is missing, what was interrupted."""

import click

from neurondb.cli import options
from neurondb.reading.opening import opened
from neurondb.reading.status import status as read_status
from neurondb.render.console import console
from neurondb.render.documents import to_json
from neurondb.render.status import status_page


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
    with opened(db) as connection:
        found = read_status(connection, model)
    if form == "json":
        click.echo(to_json(found))
        return
    console().print(status_page(found), crop=False)
    if not found.models:
        click.echo("no models yet: add one with `neurondb ingest MODEL`", err=True)
