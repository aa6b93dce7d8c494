"""`neurondb find`: neurons by what they are, in a line."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import click

from neurondb.api import Database
from neurondb.cli import options
from neurondb.errors import UsageError
from neurondb.find.columns import ResultShape, check_column, choose_columns
from neurondb.find.search import explain_empty, explain_find, explain_nulls, note_find_thresholds
from neurondb.sql import Rows
from neurondb.terminal.output_formats import Destination, write_rows

DROPPED_WHEN_NARROW: Final = ("gate_in", "gate_out", "role", "top_out_token")
"""Default columns that a narrow terminal leaves out, the first ones first."""
DROPPED_WHEN_NULL: Final = ("role", "description")
"""Default columns that a table leaves out when all their values are NULL."""


def split_keys(
    _context: click.Context, _option: click.Parameter, texts: tuple[str, ...]
) -> tuple[str, ...]:
    """Return the keys of an order, or the names of columns: given once, or with commas between."""
    return tuple(key.strip() for item in texts for key in item.split(",") if key.strip())


@click.command()
@click.argument("expression", nargs=-1)
@click.option(
    "--order",
    multiple=True,
    metavar="KEY,...",
    callback=split_keys,
    help="Columns to order by; -freq for the largest first, -|in_out| by absolute value.",
)
@options.limit("Neurons at most", 50)
@click.option(
    "--columns", multiple=True, metavar="NAME,...", callback=split_keys, help="Columns to show."
)
@click.option("--count", "instead", flag_value="count", help="Only print how many match.")
@click.option(
    "--explain",
    "instead",
    flag_value="explain",
    help="Only print the SQL, its parameters and SQLite's plan for it.",
)
@options.results
def find(
    expression: tuple[str, ...],
    db: str | None,
    instead: str | None,
    form: str | None,
    output: Path | None,
    **shape: Any,
) -> None:
    """Find neurons by an EXPRESSION; without one, all of them.

    It comes from standard input when it is -, from a file as @FILE: lists may be of any length.

    Terms side by side must all hold; and, or, not and parentheses combine them. A term is a
    class, a role, a neuron, or a comparison of a column of neuron_overview:

    \b
    neurondb find "weakening freq>0.6 layer>=20 model=llama-3.2-3b"
    neurondb find "cond-weak or role=prediction" --order -freq --limit 10
    neurondb find "gate.token=' dog' and out.bottom.token=' cat'@5"
    neurondb find "|in_out|>0.7 layer=0..3,7 not significant"
    neurondb find "pct(out_norm)>0.99 layer>=20"
    neurondb find dead --count

    docs/find.md describes the whole language. What --explain prints, `neurondb sql -` runs.
    """  # noqa: D301
    text = options.text_of(" ".join(expression))
    destination = Destination(form, output)
    with Database(db) as database:
        if instead is not None:
            _INSTEAD[instead](database, text, _make_shape(**shape), destination)
        else:
            _show(database, text, _make_shape(**shape), destination)


def _make_shape(order: tuple[str, ...], limit: int, columns: tuple[str, ...]) -> ResultShape:
    return ResultShape(columns or choose_columns(order), order, limit or None)


def _show(database: Database, text: str, shape: ResultShape, destination: Destination) -> None:
    rows = database.find(text, **shape._asdict()).stream()
    watched = _WatchedRows(rows, _list_named_columns(shape))
    rows = rows._replace(rows=iter(watched))
    default_columns = shape.columns == choose_columns(shape.order)
    ordered = choose_columns(shape.order, default=())
    spare = [name for name in DROPPED_WHEN_NARROW if default_columns and name not in ordered]
    if destination.chosen == "table":
        droppable = [name for name in DROPPED_WHEN_NULL if default_columns and name not in ordered]
        rows = drop_null_columns(rows, droppable)
    n = write_rows(rows, destination, "model" if default_columns else (), spare)
    if n == 0:
        click.echo("no neuron matches", err=True)
        _tell_why(database, text)
        return
    for reason in explain_nulls(database.engine, text, watched.unknown) if watched.unknown else ():
        click.echo(reason, err=True)
    for note in note_find_thresholds(database.engine, text, shape.columns):
        click.echo(note, err=True)
    if n == shape.limit:
        click.echo(f"the first {n}; --limit 0 shows all, --count counts them", err=True)


def drop_null_columns(rows: Rows, names: Sequence[str]) -> Rows:
    """Return rows without those of the named columns that are NULL in every row."""
    all_rows = list(rows.rows)
    silent = {
        place
        for place, name in enumerate(rows.columns)
        if name in names and all(row[place] is None for row in all_rows)
    }
    places = [place for place in range(len(rows.columns)) if place not in silent]
    return rows._replace(
        columns=tuple(rows.columns[place] for place in places),
        rows=iter([tuple(row[place] for place in places) for row in all_rows]),
    )


def _list_named_columns(shape: ResultShape) -> list[str]:
    """Return the columns that were asked for by name or as a key of the order."""
    ordered = choose_columns(shape.order, default=())
    default_columns = shape.columns == choose_columns(shape.order)
    names = ordered if default_columns else dict.fromkeys((*shape.columns, *ordered))
    return [check_column(name) for name in names]


class _WatchedRows:
    """Rows that note, as they pass, which watched columns were NULL in all of them (`unknown`)."""

    def __init__(self, rows: Rows, watched: Sequence[str]) -> None:
        self.unknown = [name for name in watched if name in rows.columns]
        self._places = [rows.columns.index(name) for name in self.unknown]
        self._rows = rows.rows

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        for row in self._rows:
            if self.unknown:
                left = [
                    (name, place)
                    for name, place in zip(self.unknown, self._places, strict=True)
                    if row[place] is None
                ]
                self.unknown = [name for name, _ in left]
                self._places = [place for _, place in left]
            yield row


def _count(database: Database, text: str, _shape: ResultShape, destination: Destination) -> None:
    n = database.count(text)
    if destination == Destination():
        click.echo(n)
    else:
        write_rows(Rows(("count",), iter([(n,)])), destination)
    if n == 0:
        _tell_why(database, text)


def _explain(database: Database, text: str, shape: ResultShape, destination: Destination) -> None:
    if destination != Destination():
        raise UsageError("--explain prints SQL: it takes neither --format nor -o")
    click.echo(explain_find(database.engine, text, shape))


def _tell_why(database: Database, text: str) -> None:
    for reason in explain_empty(database.engine, text):
        click.echo(reason, err=True)


_INSTEAD: Final[dict[str, Callable[[Database, str, ResultShape, Destination], None]]] = {
    "count": _count,
    "explain": _explain,
}
