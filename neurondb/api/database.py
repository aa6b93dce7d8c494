"""A database to ask: what the command line calls, and what a notebook does."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from sqlalchemy import Connection, Engine

from neurondb.api.database_annotations import DatabaseAnnotations
from neurondb.api.database_documents import DatabaseDocuments
from neurondb.api.database_jobs import DatabaseJobs
from neurondb.api.database_questions import DatabaseQuestions
from neurondb.api.explanations import Command, ExplainRows, explain_neurons
from neurondb.api.jobs import show_progress
from neurondb.api.neuron import Neuron
from neurondb.api.neuron_group import NeuronGroup
from neurondb.api.requests import SELECTIONS, choose_neurons, name_selections
from neurondb.api.stored_model import StoredModel
from neurondb.contracts.progress import Progress
from neurondb.database import format_url, open_existing, pin_location, translate_errors
from neurondb.errors import UsageError
from neurondb.find.neuron_sets import select_neurons
from neurondb.neurons import NeuronPlace, parse_neuron
from neurondb.published.verification import Verification, verify_published
from neurondb.reading.models import ModelSummary, find_model, list_models, locate_place
from neurondb.reading.neuron import PageOptions, read_neuron_page
from neurondb.sql.running import TIME_LIMIT_S
from neurondb.writing.descriptions import DescribeReport, describe_model


class Database(DatabaseQuestions, DatabaseJobs, DatabaseDocuments, DatabaseAnnotations):
    """A database that is open for questions.

    Nothing here changes it but `annotate`, `import_annotations`, `describe`, `explain`, `ablate`
    and `concept`, which add to it. It is closed by `close`, or at the end of a `with` block. Any
    thread may ask it, several at once; in a coroutine,
    `await asyncio.to_thread(db.find, "weakening")`.

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
        self.location = pin_location(None if location is None else str(location))
        """What is open: a URL, or a path from the root, wherever this process goes."""
        self._opened = open_existing(self.location)
        self.engine: Engine = self._opened.execution_options(time_limit_s=time_limit)
        super().__init__()

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

    def model(self, name: str) -> StoredModel:
        """Return one model, which shows itself in a notebook.

        >>> db.model("sample-llama").summary.dataset
        'sample'

        Raises:
            UnknownNameError: when the database has no such model.
        """
        with self.connect() as connection:
            found = find_model(connection, name)
        return StoredModel(self, next(one for one in self.models if one.model == found))

    def select(self, model: str, **chosen: Any) -> NeuronGroup:
        """Return neurons of a model, to read their weights or to hook them in a script of yours.

        >>> db.select("sample-llama", where="weakening layer=0").neuron_ids.tolist()
        [10, 52]

        Args:
            model: Its name in the database, or the hub id or directory that it was read from.
            chosen: One of `where`, `sql`, `neurons`, `class_` (with `draw`, of `seed`) or `set_`.

        Raises:
            UsageError: when it is not said which neurons, or twice.
            UnknownNameError: when a name is not there, or no neuron fits.
            ExpressionError: when the expression cannot be understood.
        """
        seed = chosen.pop("seed", 0)
        for name in chosen:
            if name not in (*SELECTIONS, "draw"):
                raise TypeError(f"select has no option {name!r}; it has {', '.join(SELECTIONS)}")
        selection = choose_neurons(chosen)
        if selection is None:
            raise UsageError(f"say which neurons by one of {name_selections()}")
        with self.connect() as connection:
            found = find_model(connection, model)
        return NeuronGroup(self, found, select_neurons(self.engine, found, selection, seed))

    def neuron(
        self,
        model: str,
        neuron: str | tuple[int, int] | NeuronPlace,
        options: PageOptions | None = None,
    ) -> Neuron:
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
            page = read_neuron_page(connection, stored_model.name, layer, number, options)
        return Neuron.of_page(page, self)

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

    def explain(
        self, model: str, command: Command, *, progress: Progress | None = None, **options: Any
    ) -> ExplainRows:
        """Let a program or a function explain neurons, or score explanations; store its answers.

        `db.explain("llama-3.2-3b", "python explain.py", where="layer=20", jobs=4)` is `neurondb
        explain llama-3.2-3b --where layer=20 --command 'python explain.py' --jobs 4`. A function
        gets the JSON as a dictionary, and returns a text, a dictionary or a list.

        Args:
            model: Its name in the database, or the hub id or directory that it was read from.
            command: The program and its arguments, or the function.
            progress: What is told how far the work is; None shows bars on stderr.
            options: The options of the command by their names, with underscores: the neurons by
                one of `where`, `sql`, `neurons`, `class_` (and `draw`) or `set_`; `limit`;
                `source`, `shell`, `timeout`, `jobs`, `again`; `dataset`, `examples`, `radius`,
                `tokens`; `score` with `of`, `key`, `case`, `seed`.

        Returns:
            A row for each neuron, or for each explanation that was scored. Its `report` counts what
            failed: that is in the rows, and raises nothing.

        Raises:
            UsageError: when the options make no sense together.
            UnknownNameError: when a name is not there, or no neuron fits.
            NeuronDBError: when there is no such program, or nothing to score.
            DatabaseError: when the database cannot be written.
        """
        return explain_neurons(self.engine, model, command, options, progress or show_progress())

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        """Open a connection that cannot write, for the functions of `neurondb.reading`."""
        with translate_errors(format_url(self.engine.url)), self.engine.connect() as connection:
            yield connection


def open(location: str | Path | None = None, *, time_limit: float = TIME_LIMIT_S) -> Database:  # noqa: A001
    """Open the database at a path or URL to ask it; None is $NEURONDB_URL, else the default one.

    Args:
        location: A path, or a URL of SQLite or PostgreSQL.
        time_limit: Seconds that the database may work at one question; 0 for any time.

    Raises:
        DatabaseError: when there is none, or it is older, newer or something else.
    """
    return Database(location, time_limit=time_limit)


def _read_place(neuron: str | tuple[int, int] | NeuronPlace) -> NeuronPlace:
    """Return the place of a neuron that is given as a text or as a pair."""
    if not isinstance(neuron, (str, tuple)):
        raise UsageError(f"{neuron!r} is no neuron; give '31.9634' as a text, or (31, 9634)")
    return parse_neuron(neuron) if isinstance(neuron, str) else NeuronPlace(*neuron)
