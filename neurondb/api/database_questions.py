"""The questions that an open database answers with rows."""

import re
import threading
import weakref
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from typing import Any, Final

from sqlalchemy import Connection, Engine

from neurondb import named_queries
from neurondb.api.result import Result
from neurondb.api.token_lists import NEURON_ID, add_token_lists
from neurondb.errors import NeuronDBError, UsageError
from neurondb.find.columns import ResultShape, choose_columns
from neurondb.find.compiler import compile_find
from neurondb.find.search import count, read_expression
from neurondb.phrases import parse_search
from neurondb.reading.text_search import search_texts, write_text_search
from neurondb.reading.texts import find_dataset_by_name
from neurondb.sql import Rows, run_sql
from neurondb.sql.query_files import format_query, parse_query


class _Asked(threading.local):
    """The last result of each thread: at most one of a thread is half read."""

    def __init__(self) -> None:
        self.last: Callable[[], Result | None] = lambda: None


class DatabaseQuestions:
    """`find`, `sql`, `query` and `texts` of an open database; any thread may ask."""

    engine: Engine
    """The SQLAlchemy engine, which cannot write to the database."""

    def __init__(self) -> None:
        self._asked: Final = _Asked()

    def connect(self) -> AbstractContextManager[Connection]:
        """Open a connection that cannot write."""
        raise NotImplementedError

    def find(
        self,
        expression: str = "",
        *,
        order: str | Sequence[str] = (),
        limit: int | None = None,
        columns: str | Sequence[str] | None = None,
        token_lists: int | None = None,
    ) -> Result:
        """Return the neurons that an expression describes; docs/find.md has its language.

        `db.sql(rows.sql)` returns the same rows.

        >>> db.find("weakening model=sample-llama", order="-freq", limit=2, columns="name,freq")
        2 rows
        name  freq
        0.10  0.7000
        1.61  0.7000

        Args:
            expression: Terms such as `weakening freq>0.6`; nothing means every neuron.
            order: Columns to order by, `-freq` for the largest first; commas or a sequence.
            limit: Neurons at most; None is all.
            columns: Columns of `neuron_overview` to return; None is the usual ones, and those
                ordered by.
            token_lists: Add so many tokens most along each vector and most against it, as columns
                of lists such as `out_top_tokens`, and the column `neuron_id`.

        Raises:
            ExpressionError: when the expression cannot be understood.
            UnknownNameError: when it names a model or token that is not there.
            UsageError: when the limit is negative.
        """
        for name, number in {"limit": limit, "token_lists": token_lists}.items():
            if number is not None and number < 0:
                raise UsageError(f"{name} is {number}; None is {'all' if name == 'limit' else 0}")
        keys = _split_names(order)
        chosen = _split_names(columns or ()) or choose_columns(keys)
        if token_lists and NEURON_ID not in chosen:
            chosen = (*chosen, NEURON_ID)
        shape = ResultShape(chosen, keys, limit)
        statement, values = compile_find(read_expression(self.engine, expression), shape)
        text = format_query(expression, statement, values, ())

        def ask() -> Rows:
            rows = run_sql(self.engine, statement, values)
            return add_token_lists(self.engine, rows, token_lists) if token_lists else rows

        return self._keep_result(ask, text)

    def count(self, expression: str = "") -> int:
        """Return how many neurons an expression describes; raises as `find` does.

        >>> db.count("model=sample-llama")
        256
        """
        return count(self.engine, expression)

    def sql(self, statement: str, /, **parameters: Any) -> Result:
        """Run one SQL statement that only reads, and return its rows.

        `:name` in it stands for a parameter, or for the value of a header line
        `-- param name = VALUE: type`, as in the files of queries/.

        >>> db.sql("SELECT name, d_mlp FROM models WHERE gated = :gated", gated=1)
        1 row
        name          d_mlp
        sample-llama  64

        Raises:
            DatabaseError: when it would change something, is malformed, lacks a parameter or takes
                too long.
            UsageError: when it has no parameter of a name that was given.
        """
        for name in parameters:
            if not re.search(rf":{re.escape(name)}\b", statement):
                raise UsageError(f"the statement has no parameter :{name}")
        defaults = parse_query(statement, "the statement").loose_bindings({})
        values = {**defaults, **parameters}
        return self._keep_result(lambda: run_sql(self.engine, statement, values), statement, values)

    def query(self, name: str, /, **parameters: Any) -> Result:
        """Ask one of the named questions, which `neurondb query --list` lists.

        >>> db.query("dead-neurons", model="sample-llama").columns[:2]
        ('model', 'name')

        Raises:
            UnknownNameError: when there is no such question, model, token or property.
            UsageError: when a parameter is missing, unknown or cannot be read.
        """
        values = {key: str(value) for key, value in parameters.items() if value is not None}
        return self._keep_result(
            lambda: named_queries.run(self.engine, name, values),
            named_queries.load(name).sql,
            values,
        )

    def texts(
        self,
        search: str,
        *,
        dataset: str | None = None,
        limit: int | None = None,
        count_neurons: bool = True,
    ) -> Result:
        """Return the stored texts that contain words, phrases, and beginnings of words.

        >>> found = db.texts('"upon a time" do*')
        >>> found.columns
        ('text_id', 'dataset', 'ordinal', 'label', 'n_neurons', 'snippet')
        >>> [row[-1] for row in found]
        ['Once upon a time there was a dog.']

        Args:
            search: Words, `"phrases"` in double quotes, and `beginnings*`; a text has to contain
                all of them, in any case.
            dataset: Its texts only; None is those of all.
            limit: Texts at most; None is all.
            count_neurons: Whether to count the neurons that have each text among their examples;
                where not, `n_neurons` is None. It takes a second for ten million examples.

        Raises:
            UsageError: when there is nothing to look for, or it is too long.
            UnknownNameError: when there is no dataset of that name.
        """
        from neurondb.terminal.texts import make_text_rows  # rich is for pages, which few print

        if limit is not None and limit < 0:
            raise UsageError(f"limit is {limit}; None is all")
        phrases = parse_search(search)
        with self.connect() as connection:
            chosen = None if dataset is None else find_dataset_by_name(connection, dataset)
            found = search_texts(
                connection, phrases, dataset=chosen, limit=limit, count_neurons=count_neurons
            )
            server = connection.dialect.name != "sqlite"
        sql, values = write_text_search(phrases, chosen, limit, server=server)
        return self._keep_result(lambda: make_text_rows(found), sql, values)

    def _keep_result(
        self, ask: Callable[[], Rows], sql: str, parameters: dict[str, Any] | None = None
    ) -> Result:
        """Return the result of a question, once what is left of the last one has been read."""
        last = self._asked.last()
        if last is not None:
            with suppress(NeuronDBError):  # which is that result's, and said to whoever reads it on
                last.read_all()
        result = Result(ask(), sql, parameters)
        self._asked.last = weakref.ref(result)
        return result


def _split_names(names: str | Sequence[str]) -> tuple[str, ...]:
    """Return names of a sequence, or of a text with commas between them."""
    if not isinstance(names, str):
        return tuple(names)
    return tuple(name.strip() for name in names.split(",") if name.strip())
