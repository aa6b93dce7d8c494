"""What a question returns: named columns and rows, and the statement that was run."""

from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from threading import RLock
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from neurondb.errors import DatabaseError, NeuronDBError
from neurondb.extras import name_missing_extras
from neurondb.formatting.cells import format_cell
from neurondb.sql import Rows

if TYPE_CHECKING:
    import pandas
    import polars
    import pyarrow
    from altair import TopLevelMixin

_SHOWN: Final = 10
"""Rows that a result shows of itself."""


class Result:
    """The rows that answer a question.

    They are read from the database as they are asked for and kept, so that a result can be gone
    through again. The next question to the same database first reads what is left of the last
    result, so that at most one is half read. A result whose reading failed or was interrupted has
    not all rows: it says so to whoever reads on, instead of passing for a shorter one.

    >>> rows = db.find("model=sample-llama 1.7,1.8", columns="name,layer,class")
    >>> rows.columns
    ('name', 'layer', 'class')
    >>> [name for name, *_ in rows]
    ['1.7', '1.8']
    >>> len(rows)
    2
    """

    def __init__(self, rows: Rows, sql: str, parameters: Mapping[str, Any] | None = None) -> None:
        self.columns: Final = rows.columns
        """The names of the columns; they are unique."""
        self.sql: Final = sql
        """The statement that was run."""
        self.parameters: Final = dict(parameters or {})
        """What `:name` stood for in it, where the statement itself does not say so."""
        self._unread = rows.rows
        self._read: list[tuple[Any, ...]] = []
        self._failure: str | None = None
        self._reading = RLock()

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        """Go through the rows, each a tuple, from the first one."""
        place = 0
        # By place rather than over the list, which may be read on meanwhile.
        while place < len(self._read) or self._read_next():
            yield self._read[place]
            place += 1

    def __len__(self) -> int:
        """Return the number of rows; this reads all of them."""
        self.read_all()
        return len(self._read)

    def __getitem__(self, place: int) -> tuple[Any, ...]:
        """Return one row; negative places count from the last row."""
        self.read_all()
        return self._read[place]

    def __repr__(self) -> str:
        """Return how many rows there are, and the first of them: as a person reads them."""
        rows = [self.columns, *islice(self, _SHOWN)]
        cells = [list(map(format_cell, row)) for row in rows]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in cells
        ]
        ellipsis = ["…"] if len(self) > _SHOWN else []
        return "\n".join([f"{len(self):,} row{'s' * (len(self) != 1)}", *lines, *ellipsis])

    def read_all(self) -> None:
        """Read the rows that are left, so that the database is no longer needed.

        Raises:
            DatabaseError: when they cannot be read, or could not be before.
        """
        with self._reading:
            self._refuse_failed()
            try:
                self._read.extend(self._unread)
            except BaseException as error:
                self._failure = _say_failure(error)
                raise

    def stream(self) -> Rows:
        """Return the columns, and the rows as they come: once, and without keeping them.

        This is for results larger than memory; afterwards the result itself has only the rows that
        it had read before.
        """
        self._refuse_failed()
        unread, self._unread = self._unread, iter(())
        return Rows(self.columns, _chain_rows(list(self._read), unread))

    def to_dicts(self) -> list[dict[str, Any]]:
        """Return every row as a dictionary.

        >>> db.find("model=sample-llama 1.7", columns="name,layer").to_dicts()
        [{'name': '1.7', 'layer': 1}]
        """
        return [dict(zip(self.columns, row, strict=True)) for row in self]

    def to_numpy(self) -> np.ndarray:
        """Return a structured array with a field for each column.

        A column of whole numbers is int64 and one of numbers float64, in which NULL is NaN; any
        other one, and one that is NULL throughout, holds Python objects.

        >>> found = db.find("model=sample-llama", columns="layer,in_out").to_numpy()
        >>> found["layer"].dtype, found["in_out"].dtype
        (dtype('int64'), dtype('float64'))
        >>> found.shape
        (256,)
        """
        rows = list(self)
        columns = [[row[place] for row in rows] for place in range(len(self.columns))]
        kinds = list(zip(self.columns, map(_choose_dtype, columns), strict=True))
        array = np.empty(len(rows), dtype=kinds)
        for (name, kind), values in zip(kinds, columns, strict=True):
            missing = np.nan if kind is np.float64 else None
            array[name] = [missing if value is None else value for value in values]
        return array

    def to_pandas(self) -> "pandas.DataFrame":
        """Return a pandas data frame; NULL is NaN or None.

        >>> db.find("model=sample-llama 1.7", columns="name,layer").to_pandas()
          name  layer
        0  1.7      1

        Raises:
            MissingExtraError: when pandas is not installed.
        """
        with name_missing_extras():
            import pandas

        return pandas.DataFrame.from_records(list(self), columns=list(self.columns))

    def to_polars(self) -> "polars.DataFrame":
        """Return a Polars data frame; NULL is null.

        Raises:
            MissingExtraError: when Polars is not installed.
        """
        with name_missing_extras():
            import polars

        return polars.DataFrame(
            list(self), schema=list(self.columns), orient="row", infer_schema_length=None
        )

    def to_arrow(self) -> "pyarrow.Table":
        """Return a table of Arrow; NULL is null, and a column of lists is a list column."""
        import pyarrow

        columns = zip(*self, strict=True) if len(self) else ((),) * len(self.columns)
        return pyarrow.table(
            {
                name: pyarrow.array(list(values))
                for name, values in zip(self.columns, columns, strict=True)
            }
        )

    def plot(self, x: str, y: str | None = None, color: str | None = None) -> "TopLevelMixin":
        """Return the rows as an Altair chart: two columns as points, or one counted.

        `db.find("freq>0").plot("freq", "in_out", color="class")` shows itself in a notebook.

        Args:
            x: The column to the right.
            y: The column upwards; None counts the rows with each value of x.
            color: The column that colours them; classes have their own colours.

        Raises:
            MissingExtraError: when the extra `site` is not installed.
            UsageError: when the rows have no such column.
        """
        with name_missing_extras():
            from neurondb.figures.rows_chart import draw_rows

        return draw_rows(self.columns, self, x, y, color)

    def _repr_html_(self) -> str:
        from neurondb.documents.notebook import write_rows

        return write_rows(self.columns, self, len(self))

    def _read_next(self) -> bool:
        """Read one more row; False where there is none."""
        with self._reading:
            self._refuse_failed()
            try:
                row = next(self._unread, None)
                if row is not None:
                    self._read.append(row)
            except BaseException as error:
                self._failure = _say_failure(error)
                raise
            return row is not None

    def _refuse_failed(self) -> None:
        if self._failure is not None:
            raise DatabaseError(self._failure)


class AblationRows(Result):
    """What `Database.ablate` returns: the rows of the metrics, and the tokens that changed most."""

    def __init__(
        self,
        rows: Rows,
        sql: str,
        parameters: Mapping[str, Any],
        ask_changed_tokens: Callable[[], Result],
    ) -> None:
        super().__init__(rows, sql, parameters)
        self._ask_changed_tokens = ask_changed_tokens

    @property
    def changed_tokens(self) -> Result:
        """The tokens that each run changed most: by metric, the largest |clean − ablated| first.

        There are up to 50 of a run and metric. The database must still be open.
        """
        return self._ask_changed_tokens()


def _say_failure(error: BaseException) -> str:
    """Return what is said of a result that an error ended before its last row."""
    if isinstance(error, NeuronDBError):
        return str(error)
    reason = "interrupted" if isinstance(error, KeyboardInterrupt) else repr(error)
    return f"the rows were not all read ({reason}); ask again"


def _chain_rows(
    rows_read: list[tuple[Any, ...]], unread: Iterator[tuple[Any, ...]]
) -> Iterator[tuple[Any, ...]]:
    yield from rows_read
    yield from unread


def _choose_dtype(values: list[Any]) -> type:
    """Return the type of a column's field."""
    numbers = [value for value in values if value is not None]
    if not numbers or not all(isinstance(value, int | float) for value in numbers):
        return object
    integral = len(numbers) == len(values) and all(isinstance(value, int) for value in numbers)
    # SQLite's integers have 64 bits, so that each of them fits.
    return np.int64 if integral else np.float64
