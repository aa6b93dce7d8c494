"""A database to ask: what the command line calls, and what a notebook does."""

import re
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from sqlalchemy import Connection, Engine

from neurondb import named_queries
from neurondb.api.database_documents import DatabaseDocuments
from neurondb.api.database_jobs import DatabaseJobs
from neurondb.api.jobs import show_progress
from neurondb.api.result import Result
from neurondb.contracts.progress import Progress
from neurondb.database import format_url, open_existing, translate_errors
from neurondb.errors import UsageError
from neurondb.find.columns import ResultShape, choose_columns
from neurondb.find.compiler import compile_find
from neurondb.find.search import count, read_expression
from neurondb.neurons import NeuronPlace, parse_neuron
from neurondb.phrases import parse_search
from neurondb.published.verification import Verification, verify_published
from neurondb.reading.models import ModelSummary, find_model, list_models, locate_place
from neurondb.reading.neuron import NeuronPage, PageOptions, read_neuron_page
from neurondb.reading.text_search import search_texts, write_text_search
from neurondb.reading.texts import find_dataset_by_name
from neurondb.sql import Rows, run_sql
from neurondb.sql.query_files import format_query, parse_query
from neurondb.sql.running import TIME_LIMIT_S
from neurondb.writing.annotation_files import AnnotationsReport, import_annotations
from neurondb.writing.descriptions import DescribeReport, describe_model


class Database(DatabaseJobs, DatabaseDocuments):
    """A database that is open for questions.

    Nothing here changes it but `annotate`, `describe`, `ablate` and `concept`, which add to it. It
    is closed by `close`, or at the end of a `with` block.

    >>> with ndb.open("sample.db") as db:
    ...     [summary.model.name for summary in db.models]
    ['sample-gpt', 'sample-llama']
    """

    def __init__(
        self, location: str | Path | None = None, *, time_limit: float = TIME_LIMIT_S
    ) -> None:
        """Open the database at a path or URL; None is $NEURONDB_URL, else the default one.

        Args:
            location: A path, or a URL of SQLite or PostgreSQL.
            time_limit: Seconds that the database may work at one question; 0 for any time.

        Raises:
            DatabaseError: when there is none, or it is older, newer or something else.
        """
        self.location = None if location is None else str(location)
        """What was opened, as it was given."""
        self._opened = open_existing(self.location)
        self.engine: Final[Engine] = self._opened.execution_options(time_limit_s=time_limit)
        """The SQLAlchemy engine, which cannot write to the database."""
        self._last: weakref.ref[Result] | None = None

    def close(self) -> None:
        """Close the database; results keep the rows that they have read."""
        self._opened.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<neurondb.Database {format_url(self.engine.url)}>"

    @property
    def models(self) -> tuple[ModelSummary, ...]:
        """Every model of the database, by name, with its complete stages.

        >>> db.models[1].model.n_neurons, db.models[1].dataset
        (256, 'sample')
        """
        with self.connect() as connection:
            return list_models(connection)

    def find(
        self,
        expression: str = "",
        *,
        order: str | Sequence[str] = (),
        limit: int | None = None,
        columns: str | Sequence[str] | None = None,
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

        Raises:
            ExpressionError: when the expression cannot be understood.
            UnknownNameError: when it names a model or token that is not there.
            UsageError: when the limit is negative.
        """
        if limit is not None and limit < 0:
            raise UsageError(f"a limit of {limit}; None is all")
        keys = _split_names(order)
        shape = ResultShape(_split_names(columns or ()) or choose_columns(keys), keys, limit)
        statement, values = compile_find(read_expression(self.engine, expression), shape)
        text = format_query(expression, statement, values, ())
        return self._keep_result(lambda: run_sql(self.engine, statement, values), text)

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

    def neuron(
        self, model: str, neuron: str | tuple[int, int], options: PageOptions | None = None
    ) -> NeuronPage:
        """Return all that is known of one neuron: what `neurondb show` prints.

        >>> page = db.neuron("sample-llama", "1.7")
        >>> page.identity.layer, page.identity.neuron, len(page.cosines)
        (1, 7, 3)

        Args:
            model: Its name in the database, or the hub id or directory that it was read from.
            neuron: `31.9634`, its layer and its number there, or both as integers; `L.E.N` with
                its expert.
            options: How many tokens and examples; of which basis, sign case and dataset.

        Raises:
            UsageError: when the neuron is not written so.
            UnknownNameError: when the database has no such model, neuron, dataset or sign case.
        """
        asked = _read_place(neuron)
        with self.connect() as connection:
            stored_model = find_model(connection, model)
            layer, number, _ = locate_place(stored_model, asked)
            return read_neuron_page(connection, stored_model.name, layer, number, options)

    def verify_published(
        self, model: str, published_as: str | None = None, *, patterns: bool = False
    ) -> Verification:
        """Hold what is stored of a model against the literature: `neurondb verify --published`.

        >>> found = db.verify_published("sample-llama")
        >>> found.published_as is None  # it is in no table: it gets the patterns of the papers
        True
        >>> found.patterns[2].name, found.patterns[2].verdict
        ('more-than-random', 'holds')

        Args:
            model: Its name in the database, or the hub id or directory that it was read from.
            published_as: Which published model it is; None finds out by its name and source.
            patterns: Whether to look for the patterns of the papers instead of its own figures.

        Returns:
            A `Comparison` for each published figure, or a `Pattern` for each pattern.

        Raises:
            UnknownNameError: when the database has no such model.
            UsageError: when no published table has a model called `published_as`.
            ModelError: when that model has another shape.
        """
        with self.connect() as connection:
            return verify_published(connection, model, published_as, patterns=patterns)

    def case_study(
        self, model: str, *neurons: str | tuple[int, int], form: str = "markdown", **options: Any
    ) -> str:
        """Return a write-up of neurons as Markdown or as a page: what `neurondb case-study` writes.

        >>> text = db.case_study("sample-llama", "0.10", "1.61")
        >>> text.splitlines()[0]
        '# sample-llama: case studies'

        Args:
            model: Its name in the database, or the hub id or directory that it was read from.
            *neurons: `31.9634`, or the layer and the number in it as integers.
            form: `markdown` or `html`.
            **options: `dataset`, `examples` of a sign case and `tokens` of a list. Where no neuron
                is named, one of `where`, `sql`, `class_` and `set_`, with `order`, `limit`, `draw`
                and `seed`.

        Raises:
            UsageError: when a neuron is not written so, or it is not said which neurons.
            UnknownNameError: when the database has no such model, neuron, dataset or set.
        """
        from neurondb.api.case_studies import write_chosen_studies  # which few ask for

        places = [_read_place(neuron) for neuron in neurons]
        return write_chosen_studies(self.engine, model, places, form, options)

    def annotate(
        self, file: str | Path, *, model: str | None = None, source: str | None = None
    ) -> AnnotationsReport:
        """Store what a CSV, TSV or JSON file says of neurons; what it said before is replaced.

        Args:
            file: Its rows are described in `neurondb.writing.annotation_files`.
            model: The model of rows that name none.
            source: Who says it; None is what rows say, else the file's name without its ending.

        Returns:
            How many annotations are new, changed, and as they were.

        Raises:
            TextError: when the file cannot be read, or a row says nothing that can be stored.
            UnknownNameError: when the database has no such model or neuron.
            DatabaseError: when it cannot be written, or is none of SQLite.
        """
        return import_annotations(self.location, Path(file), model=model, source=source)

    def describe(
        self, model: str, *, force: bool = False, progress: Progress | None = None
    ) -> DescribeReport:
        """Describe every neuron of a model in a line, unless that is up to date.

        Args:
            model: Its name in the database, or the hub id or directory that it was read from.
            force: Whether to compose what is up to date once more.
            progress: What is told how far the work is; None shows bars on stderr.

        Raises:
            UnknownNameError: when the database has no such model.
            DatabaseError: when it cannot be written.
        """
        return describe_model(self.engine.url, model, progress or show_progress(), force=force)

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        """Open a connection that cannot write, for the functions of `neurondb.reading`."""
        with translate_errors(format_url(self.engine.url)), self.engine.connect() as connection:
            yield connection

    def _keep_result(
        self, ask: Callable[[], Rows], sql: str, parameters: dict[str, Any] | None = None
    ) -> Result:
        """Return the result of a question, once what is left of the last one has been read."""
        last = None if self._last is None else self._last()
        if last is not None:
            last.read_all()
        result = Result(ask(), sql, parameters)
        self._last = weakref.ref(result)
        return result


def open(location: str | Path | None = None, *, time_limit: float = TIME_LIMIT_S) -> Database:  # noqa: A001
    """Open the database at a path or URL to ask it; None is $NEURONDB_URL, else the default one.

    Args:
        location: A path, or a URL of SQLite or PostgreSQL.
        time_limit: Seconds that the database may work at one question; 0 for any time.

    Raises:
        DatabaseError: when there is none, or it is older, newer or something else.
    """
    return Database(location, time_limit=time_limit)


def _read_place(neuron: str | tuple[int, int]) -> NeuronPlace:
    """Return the place of a neuron that is given as a text or as a pair."""
    if not isinstance(neuron, (str, tuple)):
        raise UsageError(f"{neuron!r} is no neuron; give '31.9634' as a text, or (31, 9634)")
    return parse_neuron(neuron) if isinstance(neuron, str) else NeuronPlace(*neuron)


def _split_names(names: str | Sequence[str]) -> tuple[str, ...]:
    """Return names of a sequence, or of a text with commas between them."""
    if not isinstance(names, str):
        return tuple(names)
    return tuple(name.strip() for name in names.split(",") if name.strip())
