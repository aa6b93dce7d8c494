"""What the sections of a report ask: a model, the named queries, and what it has not.

A table of a report is the answer of a named query, and carries its SQL with all values written out,
so that whoever gets the report can ask again.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection

from neurondb import named_queries
from neurondb.documents.markup import (
    Block,
    ClassName,
    Code,
    Column,
    Details,
    Faint,
    Listing,
    Strong,
    Table,
    Text,
)
from neurondb.formatting.numbers import format_compact, format_share, format_signed
from neurondb.reading.models import Model
from neurondb.sql.written_out import fill_parameters, strip_header

Row = dict[str, Any]
COSINE_DIGITS: Final = 3


@dataclass
class Subject:
    """A model that is reported on.

    Attributes:
        connection: an open connection that only reads.
        model: the model.
        missing: reason → what cannot be shown because of it; filled as sections are made.
    """

    connection: Connection
    model: Model
    missing: dict[str, list[str]] = field(default_factory=dict)
    _answers: dict[tuple[str, ...], "Answer"] = field(default_factory=dict)

    def note_missing(self, what: str, reason: str) -> None:
        """Remember that something cannot be shown, and why: what has to be run for it."""
        self.missing.setdefault(hide_path(reason, self.model), []).append(what)

    def ask(self, name: str, **parameters: Any) -> "Answer":
        """Return the rows of a named query about this model; without any, why is remembered.

        What was asked before is not asked again.
        """
        given = {"model": self.model.name} | {key: str(value) for key, value in parameters.items()}
        asked = (name, *sorted(f"{key}={value}" for key, value in given.items()))
        if asked not in self._answers:
            self._answers[asked] = self._ask(name, given)
        return self._answers[asked]

    def _ask(self, name: str, given: dict[str, str]) -> "Answer":
        query = named_queries.load(name)
        engine = self.connection.engine
        result = named_queries.run(engine, name, given)
        rows = [dict(zip(result.columns, row, strict=True)) for row in result.rows]
        if not rows:
            for line in named_queries.explain_empty(engine, name, given):
                self.note_missing(query.title, line)
        statement = fill_parameters(strip_header(query).strip(), query.bindings(given))
        return Answer(name, rows, statement)


class Answer(NamedTuple):
    """What a named query answered, and its statement with all values written out."""

    name: str
    rows: list[Row]
    statement: str

    def show_sql(self) -> Details:
        """Return the statement, closed until somebody asks for it."""
        command = Code(f"neurondb query {self.name}")
        return Details(("SQL: ", command), (Listing(self.statement),), printed=False)


class Shown(NamedTuple):
    """A column of a table: its title, and what stands in it for a row."""

    title: str
    write: Callable[[Row], Text]
    numeric: bool = False


def tabulate(answer: Answer, shown: Sequence[Shown], caption: Text = "") -> Iterator[Block]:
    """Yield an answer as a table, and its SQL; nothing where there are no rows."""
    if not answer.rows:
        return
    columns = tuple(Column(column.title, column.numeric) for column in shown)
    rows = tuple(tuple(column.write(row) for column in shown) for row in answer.rows)
    yield Table(columns, rows, caption)
    yield answer.show_sql()


def show_text(column: str, title: str | None = None) -> Shown:
    """Return a column of words."""
    return Shown(title or column, lambda row: str(row[column]))


def show_code(column: str) -> Shown:
    """Return a column of what is typed: never broken in two lines."""
    return Shown(column, lambda row: Code(str(row[column])))


def show_neuron(column: str = "name") -> Shown:
    """Return the column of neurons, as `L.N`."""
    return Shown("neuron", lambda row: Strong(str(row[column])))


def show_class() -> Shown:
    """Return the column of read-write classes."""
    return Shown("class", lambda row: ClassName(row["class"]) if row["class"] else "")


def show_signed(column: str, title: str, digits: int = COSINE_DIGITS) -> Shown:
    """Return a column of cosines or changes, with their signs."""
    return Shown(title, lambda row: format_signed(row[column], digits), numeric=True)


def show_number(column: str, title: str) -> Shown:
    """Return a column of numbers with three digits."""
    return Shown(title, lambda row: format_compact(row[column]), numeric=True)


def show_count(column: str, title: str) -> Shown:
    """Return a column of counts."""
    return Shown(title, lambda row: f"{row[column]:,}", numeric=True)


def show_share(column: str, title: str) -> Shown:
    """Return a column of shares in per cent."""
    return Shown(title, lambda row: format_share(row[column]), numeric=True)


def show_range(low: str, high: str, title: str, digits: int = COSINE_DIGITS) -> Shown:
    """Return a column of two numbers, the smallest and the largest of several draws."""

    def write(row: Row) -> Text:
        if row[low] is None:
            return format_signed(None)
        return Faint(f"{format_signed(row[low], digits)} … {format_signed(row[high], digits)}")

    return Shown(title, write, numeric=True)


def hide_path(text: str, model: Model) -> str:
    """Return a text with only the last part of the folder that a model was read from."""
    return text.replace(model.source, shorten_source(model.source))


def shorten_source(source: str) -> str:
    """Return a hub id as it is, and of a path the last part; the rest is about a machine."""
    if not source.startswith(("/", "~", ".")) and "\\" not in source:
        return source
    return source.replace("\\", "/").rstrip("/").rpartition("/")[2] or source
