"""One NeuronDB database as a site: what pages receive and return, and how they are run.

`find_site` finds the database among those of a Datasette. A page is a function that takes a
`Request` and returns a `Page`, a `Redirect`, a `Document`, or a `Question` to the live model;
`Site.answer` runs it.
"""

import os
import sqlite3
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from threading import Lock
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, TypeVar
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, Engine

from neurondb.contracts.live import LiveQuestion
from neurondb.database import get_driver_connection, open_existing, open_immutable, translate_errors
from neurondb.errors import (
    DatabaseError,
    IngestError,
    LackingModelError,
    LiveError,
    NeuronDBError,
    UnknownNameError,
    UsageError,
)
from neurondb.explore.databases import prepare_databases
from neurondb.explore.urls import Urls
from neurondb.live import LiveModel
from neurondb.reading.traces import Trace
from neurondb.sqlite_files import read_stamp

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T")

PLUGIN: Final = "neurondb"
"""The name of this plugin in Datasette's configuration."""
TITLE: Final = "NeuronDB"
SECONDS: Final = 10.0
"""Seconds after which the site stops a question; --public halves them."""
SECONDS_WRITTEN: Final = 600.0
"""The same for a page that is written into a file, for which no visitor waits."""
_INSTRUCTIONS: Final = 100_000
"""Instructions of SQLite between two looks at the clock."""
_CACHE_SIZE: Final = 256
"""How many results of `Site.cached` are kept; one more empties the cache."""


@dataclass(frozen=True)
class Options:
    """How the site was started.

    Attributes:
        public: whether it is for strangers: shorter time limits, no writing.
        annotations: whether visitors may annotate neurons.
        title: the title of the site, given by whoever published it.
        written: whether its pages are written into files, behind which nothing answers.
    """

    public: bool = False
    annotations: bool = False
    title: str = TITLE
    written: bool = False


@dataclass(frozen=True)
class Visitor:
    """Who asks, and by which address of the site.

    Attributes:
        name: who it is, where Datasette knows; None for anybody.
        origin: scheme and host as the visitor wrote them, without a slash at the end.
    """

    name: str | None = None
    origin: str = ""


@dataclass(frozen=True)
class Request:
    """A request for a page.

    Attributes:
        site: the site whose page is asked for.
        connection: a connection to the database, which can only read.
        path: the named parts of the address.
        query: what follows the `?`, the first value of each name.
        form: what a form sent; empty unless it was POSTed.
        visitor: who asks.
        version: of the database, before anything was read of it: the connection may read what was
            written since, and never what was there before.
    """

    site: "Site"
    connection: Connection
    path: Mapping[str, str]
    query: Mapping[str, str]
    form: Mapping[str, str] = field(default_factory=dict)
    visitor: Visitor = Visitor()
    version: Hashable = None

    def cached(self, key: Hashable, compute: Callable[[], T]) -> T:
        """Return the result of `compute` for this key, kept while the database is unchanged."""
        return self.site.cached(key, compute, self.version)


@dataclass(frozen=True)
class Page:
    """A page: the template that shows `content`, which is also the page's JSON.

    Attributes:
        template: name of its template below templates/neurondb.
        title: the title of the window.
        content: a dataclass; the template sees it as `page`.
        status: the HTTP status.
        headers: HTTP headers beyond those of every page.
        framed: whether other sites may show it in a frame.
        permalink: an address that lasts, where the page's own has a number of this database in it.
    """

    template: str
    title: str
    content: "DataclassInstance"
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    framed: bool = False
    permalink: str | None = None


@dataclass(frozen=True)
class Redirect:
    """An answer that sends the visitor to another address of this site."""

    location: str


@dataclass(frozen=True)
class Document:
    """An answer that is no page: a figure, a script, a download."""

    body: bytes
    content_type: str
    headers: Mapping[str, str] = field(default_factory=dict)
    status: int = 200


@dataclass(frozen=True)
class Question:
    """What the live model has to say before there is a page.

    Attributes:
        asked: the question.
        then: makes the page of the request, which it is passed anew, and of `reply`.
    """

    asked: LiveQuestion
    then: Callable[..., "Answer"]


Answer = Page | Redirect | Document | Question
View = Callable[[Request], Answer]


class Site:
    """A database, the options it is served with, and the engine that its pages ask."""

    def __init__(self, datasette: Any, database: Any, options: Options) -> None:
        self.datasette = datasette
        self.database = database
        self.options = options
        self.live: LiveModel | None = None
        """The model that runs beside this site, if one does."""
        self.traces: dict[Hashable, Trace] = {}
        """What it said of stored examples."""
        self._cache: dict[Hashable, tuple[object, Any]] = {}
        self._locks: dict[Hashable, Lock] = {}

    @cached_property
    def links(self) -> Urls:
        """Addresses of the pages, made anew each time: Datasette may learn its base_url late."""
        urls = self.datasette.urls
        return Urls(str(urls.path("/")), str(urls.database(self.database.name)))

    @cached_property
    def engine(self) -> Engine:
        """The engine that pages ask: it cannot write, and stops a question after a time limit."""
        path = os.path.realpath(self.database.path)
        engine = open_existing(path) if self.database.is_mutable else open_immutable(path)
        return engine.execution_options(time_limit_s=self.limit_s)

    @property
    def sql_allowed(self) -> bool:
        """Whether visitors may write SQL."""
        return bool(self.datasette.setting("default_allow_sql"))

    def find_live(self, model: str) -> LiveModel | None:
        """Return the live model, if it is the one of this name."""
        return self.live if self.live is not None and self.live.model == model else None

    @property
    def limit_s(self) -> float:
        """Seconds that one question may take."""
        if self.options.written:
            return SECONDS_WRITTEN
        return SECONDS / 2 if self.options.public else SECONDS

    def answer(
        self,
        view: View,
        path: Mapping[str, str],
        query: Mapping[str, str],
        form: Mapping[str, str] | None = None,
        visitor: Visitor = Visitor(),
    ) -> Answer:
        """Run a page, in a thread of its own since it waits for the database.

        Args:
            view: the page.
            path: the named parts of the address.
            query: what follows the `?`, the first value of each name.
            form: what a form sent, where one was POSTed.
            visitor: who asks.

        Raises:
            NeuronDBError: as the page does, and when the database cannot be read or takes too long.
        """
        version = self.version
        with (
            translate_errors(str(self.database.name)),
            self.engine.connect() as connection,
            _limit_time(connection, self.limit_s),
        ):
            return view(Request(self, connection, path, query, form or {}, visitor, version))

    def cached(self, key: Hashable, compute: Callable[[], T], version: Hashable) -> T:
        """Return the result of `compute` for this key, kept while the database is unchanged.

        Args:
            key: what is computed.
            compute: reads the database.
            version: the database's before whoever computes had read anything of it; a later one
                would keep what was read of an earlier one for good.
        """
        # Visitors who come at the same time wait for one of them; each on its own, they would all
        # be slow enough to be given up.
        with self._locks.setdefault(key, Lock()):
            entry = self._cache.get(key)
            if entry is None or entry[0] != version:
                if len(self._cache) >= _CACHE_SIZE:
                    self._cache.clear()
                    self._locks.clear()
                self._cache[key] = entry = (version, compute())
        value: T = entry[1]
        return value

    @property
    def version(self) -> Hashable:
        """What changes with the database."""
        return read_stamp(str(self.database.path))


@contextmanager
def _limit_time(connection: Connection, seconds: float) -> Iterator[None]:
    """Let SQLite stop a page's statements when together they take too long."""
    until = monotonic() + seconds
    raw: sqlite3.Connection = get_driver_connection(connection)
    raw.set_progress_handler(lambda: monotonic() > until, _INSTRUCTIONS)
    try:
        yield
    except Exception as error:
        if monotonic() > until and "interrupted" in str(error):
            raise DatabaseError(
                f"gave up after {seconds:g} s; ask for less: one layer, fewer terms"
            ) from error
        raise
    finally:
        raw.set_progress_handler(None, 0)


def choose_error_status(error: NeuronDBError) -> int:
    """Return the HTTP status for an error."""
    if isinstance(error, UnknownNameError):
        return 404
    if isinstance(error, LiveError):
        return 503
    return 400 if isinstance(error, UsageError | IngestError | LackingModelError) else 500


_SITES: Final[WeakKeyDictionary[Any, "Site | None"]] = WeakKeyDictionary()


def find_site(datasette: Any) -> Site | None:
    """Return the site of the first database that is NeuronDB's; None where none is."""
    if datasette not in _SITES:
        prepare_databases(datasette)
        database = next((db for db in datasette.databases.values() if _is_ours(db)), None)
        _SITES[datasette] = (
            None if database is None else Site(datasette, database, _read_options(datasette))
        )
    return _SITES[datasette]


def _read_options(datasette: Any) -> Options:
    configured = datasette.plugin_config(PLUGIN) or {}
    return Options(
        public=bool(configured.get("public")),
        annotations=bool(configured.get("annotations")),
        title=str(configured.get("title") or TITLE),
    )


def _is_ours(database: Any) -> bool:
    if not database.path:
        return False
    try:
        path = os.path.realpath(database.path)
        engine = (open_existing if database.is_mutable else open_immutable)(path)
    except (NeuronDBError, sqlite3.Error):
        return False
    engine.dispose()
    return True
