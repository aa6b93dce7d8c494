"""`neurondb find`: neurons by what they are, in a line."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import click
from sqlalchemy import Engine

from neurondb import asking
from neurondb.asking.compiling import COLUMNS, Shape
from neurondb.asking.finding import explained
from neurondb.cli import options
from neurondb.render.formats import Destination, deliver


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
    text = " ".join(expression)
    with asking.opened(db) as engine:
        if instead is not None:
            click.echo(_INSTEAD[instead](engine, text, _shape(**shape)))
            return
        limited = _shape(**shape)
        rows = asking.find(engine, text, **limited._asdict())
        counted = Counted(rows.rows)
        deliver(rows._replace(rows=iter(counted)), Destination(form, output))
    _remark(counted.n, limited.limit)


def _shape(order: tuple[str, ...], limit: int, columns: tuple[str, ...]) -> Shape:
    return Shape(columns or COLUMNS, order, limit or None)


_INSTEAD: Final[dict[str, Callable[[Engine, str, Shape], object]]] = {
    "count": lambda engine, text, _shape: asking.count(engine, text),
    "explain": explained,
}


def _remark(n: int, limit: int | None) -> None:
    if n == 0:
        click.echo("no neuron matches", err=True)
    elif n == limit:
        click.echo(f"the first {n}; --limit 0 shows all, --count counts them", err=True)


class Counted:
    """Counts rows as they pass."""

    def __init__(self, rows: Iterator[tuple[Any, ...]]) -> None:
        self.n = 0
        self._rows = rows

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        for row in self._rows:
            self.n += 1
            yield row
