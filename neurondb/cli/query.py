"""`neurondb query`: the named questions of queries/."""

from pathlib import Path
from typing import Final

import click

from neurondb import named_queries
from neurondb.api import Database
from neurondb.cli import options
from neurondb.errors import UsageError
from neurondb.find.search import note_query_thresholds
from neurondb.sql import Rows
from neurondb.terminal.output_formats import Destination, write_rows

CAPTIONS: Final = ("model", "model_a", "model_b", "dataset")
"""Columns that stand above a table, as a caption, when all rows have the same value there."""


@click.command()
@click.argument("name", required=False)
@options.parameters
@click.option("--list", "instead", flag_value="list", help="List the queries.")
@click.option("--show", "instead", flag_value="show", help="Only print the file of the query.")
@options.results
def query(
    name: str | None,
    given: dict[str, str],
    instead: str | None,
    form: str | None,
    output: Path | None,
    db: str | None,
) -> None:
    """Ask the question called NAME.

    \b
    neurondb query --list
    neurondb query weakening-often --param model=llama-3.2-3b --param freq=0.7
    neurondb query neurons-for-token --param "token= dog" --format csv -o dog.csv
    """  # noqa: D301
    destination = Destination(form, output)
    if instead == "list":
        write_rows(_list_queries(), destination)
    elif name is None:
        raise UsageError("which query? `neurondb query --list` shows them")
    elif instead == "show":
        if destination != Destination():
            raise UsageError("--show prints the query's file: it takes neither --format nor -o")
        click.echo(named_queries.load(name).sql)
    else:
        _answer(name, given, destination, db)


def _answer(
    name: str, parameters: dict[str, str], destination: Destination, db: str | None
) -> None:
    with Database(db) as database:
        rows = database.query(name, **parameters)
        n_rows = write_rows(rows.stream(), destination, CAPTIONS)
        if n_rows == 0:
            click.echo("no rows", err=True)
            notes = named_queries.explain_empty(database.engine, name, parameters)
        else:
            notes = note_query_thresholds(database.engine, rows.columns, parameters.get("model"))
            if n_rows == named_queries.load(name).bindings(parameters).get("limit"):
                notes.append(f"the first {n_rows:,}, as limit says; --param limit=N for more")
        for line in notes:
            click.echo(line, err=True)


def _list_queries() -> Rows:
    """Return a row for each query: name, title, parameters (optional ones in brackets)."""
    queries = named_queries.load_all()
    rows = ((q.name, q.title, " ".join(p.usage for p in q.parameters)) for q in queries)
    return Rows(("name", "title", "parameters"), rows)
