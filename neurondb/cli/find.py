"""`neurondb find`: neurons by what they are, in a line."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import click

from neurondb.api import Database
from neurondb.cli import options
from neurondb.errors import UsageError
from neurondb.find.columns import ResultShape, check_column, choose_columns
from neurondb.find.search import explain_find, note_find_thresholds, why_empty, why_null
from neurondb.sql import Rows
from neurondb.terminal.output_formats import Destination, write_rows

SPARE: Final = ("gate_in", "gate_out", "role")
"""Usual columns that a narrow terminal does without, the first ones first."""
SILENT: Final = ("role",)
"""Usual columns that a table for people does without where they are empty: few neurons have one."""


def _listed(
    _context: click.Context, _option: click.Parameter, given: tuple[str, ...]
) -> tuple[str, ...]:
    return tuple(key.strip() for item in given for key in item.split(",") if key.strip())


@click.command()
@click.argument("expression", nargs=-1)
@click.option(
    "--order",
    multiple=True,
    metavar="KEY,...",
    callback=_listed,
    help="Columns to order by; -freq for the largest first, -|in_out| by absolute value.",
)
@click.option(
    "--limit",
    type=click.IntRange(0),
    default=50,
    show_default=True,
    help="Neurons at most; 0 for all.",
)
@click.option(
    "--columns", multiple=True, metavar="NAME,...", callback=_listed, help="Columns to show."
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
    neurondb find dead --count

    docs/find.md describes the whole language. What --explain prints, `neurondb sql -` runs.
    """  # noqa: D301
    text = options.text_of(" ".join(expression))
    destination = Destination(form, output)
    with Database(db) as database:
        if instead is not None:
            _INSTEAD[instead](database, text, _shape(**shape), destination)
        else:
            _show(database, text, _shape(**shape), destination)


def _shape(order: tuple[str, ...], limit: int, columns: tuple[str, ...]) -> ResultShape:
    return ResultShape(columns or choose_columns(order), order, limit or None)


def _show(database: Database, text: str, shape: ResultShape, destination: Destination) -> None:
    rows = database.find(text, **shape._asdict()).stream()
    seen = _Seen(rows, _named_columns(shape))
    rows = rows._replace(rows=iter(seen))
    usual = shape.columns == choose_columns(shape.order)
    ordered = choose_columns(shape.order, usual=())
    spare = [name for name in SPARE if usual and name not in ordered]
    if destination.chosen == "table":
        rows = without_silent(rows, [name for name in SILENT if name in spare])
    n = write_rows(rows, destination, "model" if usual else (), spare)
    if n == 0:
        click.echo("no neuron matches", err=True)
        _tell_why(database, text)
        return
    for reason in why_null(database.engine, text, seen.unknown) if seen.unknown else ():
        click.echo(reason, err=True)
    for note in note_find_thresholds(database.engine, text, shape.columns):
        click.echo(note, err=True)
    if n == shape.limit:
        click.echo(f"the first {n}; --limit 0 shows all, --count counts them", err=True)


def without_silent(rows: Rows, names: Sequence[str]) -> Rows:
    """Leave out those of some columns that are NULL in every row."""
    kept = list(rows.rows)
    silent = {
        place
        for place, name in enumerate(rows.columns)
        if name in names and all(row[place] is None for row in kept)
    }
    places = [place for place in range(len(rows.columns)) if place not in silent]
    return rows._replace(
        columns=tuple(rows.columns[place] for place in places),
        rows=iter([tuple(row[place] for place in places) for row in kept]),
    )


def _named_columns(shape: ResultShape) -> list[str]:
    """Return the columns that somebody asked for: by name, or to order by."""
    ordered = choose_columns(shape.order, usual=())
    usual = shape.columns == choose_columns(shape.order)
    named = ordered if usual else dict.fromkeys((*shape.columns, *ordered))
    return [check_column(name) for name in named]


class _Seen:
    """Passes rows on; `unknown` are the columns, of those watched, that were NULL in all."""

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
    for reason in why_empty(database.engine, text):
        click.echo(reason, err=True)


_INSTEAD: Final[dict[str, Callable[[Database, str, ResultShape, Destination], None]]] = {
    "count": _count,
    "explain": _explain,
}
