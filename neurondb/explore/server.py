"""Serve one database as a site: what `neurondb serve` starts."""

import socket
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, Final

from neurondb.contracts.live import LiveRequest
from neurondb.database import format_url, get_sqlite_path, open_existing, open_immutable, parse_url
from neurondb.errors import DatabaseError, UsageError
from neurondb.explore.site import PLUGIN
from neurondb.live import LiveModel
from neurondb.name_matching import quote_word, suggest_names
from neurondb.sqlite_files import find_unwritten_log

SETTINGS: Final[Mapping[str, Any]] = {
    "suggest_facets": False,  # each suggestion is a scan, and there are millions of rows
    "default_page_size": 50,
    "num_sql_threads": 4,
    "sql_time_limit_ms": 10_000,
    "facet_time_limit_ms": 1_000,
    "default_cache_ttl": 0,
    "allow_download": False,
}
"""Settings of Datasette's whose defaults do not suit databases of this size; --setting wins."""

PUBLIC_SETTINGS: Final[Mapping[str, Any]] = {
    "sql_time_limit_ms": 5_000,  # the named queries over all neurons of 8B take most of it
    "facet_time_limit_ms": 200,
    "default_cache_ttl": 300,
    "allow_csv_stream": False,
    "default_allow_sql": False,
}


@dataclass(frozen=True)
class Service:
    """How to serve a database.

    Attributes:
        public: for strangers: the file must not change, and time limits are shorter.
        allow_sql: whether visitors of a public site may write SQL.
        annotations: whether visitors may annotate neurons.
        settings: Datasette's settings by name.
    """

    public: bool = False
    allow_sql: bool = False
    annotations: bool = False
    settings: Mapping[str, Any] = field(default_factory=dict)


def create_application(location: str | None, service: Service = Service()) -> Any:
    """Return the Datasette that serves a database.

    Raises:
        DatabaseError: when there is none, it is older or newer, or no SQLite file.
        UsageError: when the service contradicts itself.
    """
    if service.public and service.annotations:
        raise UsageError("--public takes no annotations: a published file is not written to")
    path = find_servable_file(location, immutable=service.public)
    from datasette.app import Datasette
    from datasette.plugins import pm
    from datasette.version import __version__

    from neurondb.explore.databases import choose_database_name, prepare_databases

    # Otherwise every unknown address prints pages of local variables on the terminal.
    pm.get_plugin("datasette.handle_exception").rich = None
    files: dict[str, Any] = (
        {"immutables": [str(path)]} if service.public else {"files": [str(path)]}
    )
    name = choose_database_name(path)
    datasette = Datasette(
        **files,
        **build_configuration(name, service, modern=not __version__.startswith("0.")),
        inspect_data=read_inspect_data(path) if service.public else None,
        settings=choose_settings(service),
    )
    prepare_databases(datasette)
    return datasette


def find_servable_file(location: str | None, *, immutable: bool = False) -> Path:
    """Return the SQLite file at a path or URL, once checked; `immutable`: nobody writes to it.

    Raises:
        DatabaseError: when there is none, it is older or newer, or no SQLite file.
    """
    url = parse_url(location)
    path = get_sqlite_path(url)
    if path is None:
        raise DatabaseError(
            f"{format_url(url)} is no SQLite file, which is all that a site is made of: "
            f"`neurondb copy {format_url(url)} neurons.db` makes one of it"
        )
    open_existing(location).dispose()
    if immutable and find_unwritten_log(path) is not None:
        raise DatabaseError(
            f"{path} is being written to, or was not closed: publish a copy, "
            f"`neurondb publish --db {path} -o DIR`, or serve it without --public"
        )
    if immutable:
        open_immutable(str(path)).dispose()
    return path


def choose_settings(service: Service) -> dict[str, Any]:
    """Return Datasette's settings for a way to serve."""
    public = dict(PUBLIC_SETTINGS) if service.public else {}
    if service.allow_sql:
        public["default_allow_sql"] = True
    return {**SETTINGS, **public, **service.settings}


def build_configuration(name: str, service: Service, *, modern: bool) -> dict[str, Any]:
    """Return titles, descriptions, queries and options where this Datasette looks for them.

    Version 0.65 takes all of them as metadata; 1.0 (`modern`) takes settings as config.
    """
    from neurondb.explore.metadata import describe_database

    plugins = {PLUGIN: {"public": service.public, "annotations": service.annotations}}
    description = describe_database(name)
    if not modern:
        return {"metadata": description | {"plugins": plugins}}
    queries = {name: {"queries": description["databases"][name].pop("queries")}}
    return {"metadata": description, "config": {"plugins": plugins, "databases": queries}}


def read_inspect_data(path: Path, fingerprint: str | None = None) -> dict[str, Any]:
    """Return the row counts and the hash for which Datasette would read the whole file.

    Tables that ANALYZE never saw have no count.
    """
    from sqlalchemy import text

    engine = open_immutable(str(path))
    with engine.connect() as connection:
        names = connection.execute(
            text("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
        ).scalars()
        counts: dict[str, int | None] = dict.fromkeys(names)
        if "sqlite_stat1" in counts:
            # ANALYZE, which every load ends with, left the number of rows as the first word; a
            # table with several indexes has several, estimated apart unless all rows counted.
            for table, stat in connection.execute(text("SELECT tbl, stat FROM sqlite_stat1")):
                counts[table] = max(counts.get(table) or 0, int(str(stat).split()[0]))
    engine.dispose()
    size = path.stat().st_size
    stamp = fingerprint or f"{size:x}{path.stat().st_mtime_ns:x}"
    tables = {name: {"count": count} for name, count in counts.items()}
    from neurondb.explore.databases import choose_database_name

    return {
        choose_database_name(path): {
            "hash": stamp,
            "size": size,
            "file": path.name,
            "tables": tables,
        }
    }


def open_listener(host: str, port: int) -> socket.socket:
    """Return a socket that listens; port 0 takes a free one.

    Raises:
        DatabaseError: when the port is taken, or the host is none of this machine's.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=128)
    except (OSError, OverflowError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise DatabaseError(
            f"cannot listen on {host}, port {port}: {reason}; choose another with --port"
        ) from error


def format_address(listener: socket.socket) -> str:
    """Return the address of a site for a browser."""
    host, port = listener.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/"


@contextmanager
def run_live_model(datasette: Any, request: LiveRequest | None) -> Iterator[LiveModel | None]:
    """While open, a model runs beside a site, once it is loaded; None where none is asked for.

    Raises:
        NeuronDBError: when it cannot be loaded.
    """
    from neurondb.explore.site import find_site

    site = find_site(datasette)
    if request is None or site is None:
        yield None
        return
    from rich.console import Console

    live = LiveModel(request)
    with Console(stderr=True).status(f"Loading {live.model}…"):  # on a terminal only
        live.start()
    site.live = live
    try:
        yield live
    finally:
        site.live = None
        live.join()


def run_server(datasette: Any, listener: socket.socket, live: LiveModel | None = None) -> None:
    """Serve until Ctrl-C."""
    import uvicorn

    from neurondb.explore.prefetch import start_prefetch

    class Server(uvicorn.Server):
        """Refuses, when it is told to end, who waits for the live model: they would hold it up."""

        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            if live is not None:
                live.close()
            super().handle_exit(sig, frame)

    start_prefetch(datasette)
    config = uvicorn.Config(
        datasette.app(), log_level="warning", access_log=False, lifespan="on", server_header=False
    )
    try:
        Server(config).run(sockets=[listener])
    except KeyboardInterrupt:
        return


_TRUTHS: Final = {"on": True, "true": True, "1": True, "off": False, "false": False, "0": False}


def read_settings(assignments: Iterable[str]) -> dict[str, Any]:
    """Return settings by name, each value of the type that Datasette gives it.

    Raises:
        UsageError: when there is no such setting, or it cannot have that value.
    """
    return dict(_read_setting(item) for item in assignments)


def _read_setting(item: str) -> tuple[str, Any]:
    from datasette.app import DEFAULT_SETTINGS

    name, equals, value = item.partition("=")
    if not equals:
        raise UsageError(f"--setting {quote_word(item)} is not NAME=VALUE")
    if name not in DEFAULT_SETTINGS:
        raise UsageError(f"no setting {quote_word(name)}{suggest_names(name, DEFAULT_SETTINGS)}")
    return name, _read(name, value, DEFAULT_SETTINGS[name])


def _read(name: str, value: str, default: Any) -> Any:
    if isinstance(default, bool):
        if value.lower() not in _TRUTHS:
            raise UsageError(f"setting {name} is {quote_word(value)}; it is on or off")
        return _TRUTHS[value.lower()]
    if isinstance(default, int):
        if not (value.isascii() and value.isdigit()):
            raise UsageError(f"setting {name} is {quote_word(value)}; it is a whole number from 0")
        return int(value)
    return value
