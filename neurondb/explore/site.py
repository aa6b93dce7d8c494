"""One NeuronDB database as a site: finds it among Datasette's, and runs its pages in threads."""

import os
import sqlite3
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from threading import Lock
from time import monotonic
from typing import Any, Final, TypeVar
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, Engine

from neurondb.database import driver, open_existing, open_immutable, translated
from neurondb.errors import DatabaseError, IngestError, NeuronDBError, UnknownNameError, UsageError
from neurondb.explore.hosted import adopted
from neurondb.explore.page import Answer, Ask
from neurondb.explore.urls import Urls
from neurondb.sqlite_files import stamp

View = Callable[[Ask], Answer]
T = TypeVar("T")

PLUGIN: Final = "neurondb"
"""Our name in Datasette's configuration."""
TITLE: Final = "NeuronDB"
SECONDS: Final = 10.0
"""After which the site gives up on a question of a visitor's; --public halves it."""
_BREATH: Final = 100_000
"""Instructions of SQLite's between two looks at the clock."""
_MOST_REMEMBERED: Final = 256


@dataclass(frozen=True)
class Options:
    """How the site was started.

    Attributes:
        public: strangers read it: shorter time limits, no writing.
        annotations: visitors may annotate neurons.
        title: of the site, as whoever published it called it.
    """

    public: bool = False
    annotations: bool = False
    title: str = TITLE


@dataclass(frozen=True)
class Request:
    """What a browser sent: the named parts of the address, what follows its `?`, a form."""

    path: Mapping[str, str]
    query: Mapping[str, str]
    form: Mapping[str, str] = field(default_factory=dict)


class Site:
    """A database, the options it is served with, and the engine that its pages ask."""

    def __init__(self, datasette: Any, database: Any, options: Options) -> None:
        self.datasette = datasette
        self.database = database
        self.options = options
        self._remembered: dict[Hashable, tuple[object, Any]] = {}
        self._making: dict[Hashable, Lock] = {}

    @cached_property
    def links(self) -> Urls:
        """Addresses of the pages; base_url is a setting that Datasette may learn late."""
        urls = self.datasette.urls
        return Urls(str(urls.path("/")), str(urls.database(self.database.name)))

    @cached_property
    def engine(self) -> Engine:
        """Ask this; it cannot write, and gives up on a question after a while."""
        path = os.path.realpath(self.database.path)
        engine = open_existing(path) if self.database.is_mutable else open_immutable(path)
        return engine.execution_options(time_limit_s=self.limit_s)

    @property
    def sql_allowed(self) -> bool:
        """Whether visitors may write SQL."""
        return bool(self.datasette.setting("default_allow_sql"))

    @property
    def limit_s(self) -> float:
        """Seconds that one question may take."""
        return SECONDS / 2 if self.options.public else SECONDS

    def answer(self, view: View, asked: Request) -> Answer:
        """Run a page; in a thread, for it waits for the database.

        Raises:
            NeuronDBError: as the page does, and when the database cannot be read or takes too long.
        """
        with (
            translated(str(self.database.name)),
            self.engine.connect() as connection,
            _limited(connection, self.limit_s),
        ):
            return view(Ask(self, connection, asked.path, asked.query, asked.form))

    def remembered(self, key: Hashable, make: Callable[[], T]) -> T:
        """Return what `make` returned for this key while the database was as it is now."""
        # Visitors who come at the same time wait for one of them; each on its own, they would all
        # be slow enough to be given up.
        with self._making.setdefault(key, Lock()):
            version = self._version()
            found = self._remembered.get(key)
            if found is None or found[0] != version:
                if len(self._remembered) >= _MOST_REMEMBERED:
                    self._remembered.clear()
                    self._making.clear()
                self._remembered[key] = found = (version, make())
        value: T = found[1]
        return value

    def _version(self) -> object:
        return stamp(str(self.database.path))


@contextmanager
def _limited(connection: Connection, seconds: float) -> Iterator[None]:
    """Let SQLite give up on what a page asks when it takes too long, all of it together."""
    until = monotonic() + seconds
    raw: sqlite3.Connection = driver(connection)
    raw.set_progress_handler(lambda: monotonic() > until, _BREATH)
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


def status_of(error: NeuronDBError) -> int:
    """Return the status of HTTP that says what went wrong."""
    if isinstance(error, UnknownNameError):
        return 404
    return 400 if isinstance(error, UsageError | IngestError) else 500


_SITES: Final[WeakKeyDictionary[Any, "Site | None"]] = WeakKeyDictionary()


def site_of(datasette: Any) -> Site | None:
    """Return the site of the first database that is NeuronDB's; None where none is."""
    if datasette not in _SITES:
        adopted(datasette)
        found = next((db for db in datasette.databases.values() if _is_ours(db)), None)
        _SITES[datasette] = None if found is None else Site(datasette, found, _options(datasette))
    return _SITES[datasette]


def _options(datasette: Any) -> Options:
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
