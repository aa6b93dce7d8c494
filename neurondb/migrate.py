"""Create and upgrade a database by the migrations in migrations/."""

import sqlite3
from contextlib import closing, suppress
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, Table, insert, inspect, text

from neurondb.database import (
    check_revision,
    connect,
    format_url,
    get_sqlite_path,
    parse_url,
    translate_errors,
)
from neurondb.errors import DatabaseError
from neurondb.paths import find_folder
from neurondb.schema import VIEWS, codes, tables
from neurondb.server_locks import take_turn
from neurondb.sqlite_files import check_readable, open_file
from neurondb.taxonomy import CLASSES, UNDEFINED


def make_configuration(connection: Connection | None = None) -> Config:
    """Return Alembic's configuration; it works from an installed package too."""
    config = Config()
    config.set_main_option("script_location", str(find_folder("migrations")))
    config.attributes["connection"] = connection
    return config


def upgrade(engine: Engine) -> None:
    """Bring a database, new or old, to the schema of this code; in one transaction.

    Raises:
        DatabaseError: when it is locked, read-only or not a NeuronDB database.
    """
    with translate_errors(format_url(engine.url)), engine.begin() as connection:
        take_turn(connection, "schema")
        drop_views(connection)
        command.upgrade(make_configuration(connection), "head")
        create_views(connection)
        fill_lookups(connection)


def create_or_open(location: str | None = None) -> Engine:
    """Open a database to write to it; create it, or the tables in an empty one, where needed.

    Raises:
        DatabaseError: when it is older (asks for `neurondb upgrade`), newer, or something else.
    """
    url = parse_url(location)
    path = get_sqlite_path(url)
    if path is not None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.exists():
                check_readable(path)
        except OSError as error:
            raise DatabaseError(
                f"cannot write in {path.parent}: {error.strerror or error}"
            ) from error
    is_new = path is not None and not path.exists()
    engine = connect(url, writing=True)
    try:
        with translate_errors(format_url(engine.url)), engine.connect() as connection:
            empty = not inspect(connection).get_table_names()
        if empty:
            upgrade(engine)
    except BaseException:
        engine.dispose()
        if is_new and path is not None and not _is_of_others(path):
            _remove(path)
        raise
    check_revision(engine)
    return engine


def _is_of_others(path: Path) -> bool:
    """Tell whether another process, which began at the same time, makes or made the database."""
    try:
        with closing(open_file(path, "mode=rw", timeout=0, isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            return connection.execute("SELECT 1 FROM sqlite_master").fetchone() is not None
    except sqlite3.Error as error:
        return error.sqlite_errorcode == sqlite3.SQLITE_BUSY


def _remove(path: Path) -> None:
    """Remove what a database that could not be made has left."""
    for suffix in ("", "-wal", "-shm", "-journal"):
        with suppress(OSError):
            Path(f"{path}{suffix}").unlink()


def read_revision(engine: Engine) -> str | None:
    """Return the schema revision a database has, None when it has none."""
    with translate_errors(format_url(engine.url)), engine.connect() as connection:
        if not inspect(connection).has_table("alembic_version"):
            return None
        revision = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return None if revision is None else str(revision)


def drop_views(connection: Connection) -> None:
    """Drop every view of ours: a table that a view reads cannot be altered."""
    for view in reversed(VIEWS):
        connection.exec_driver_sql(f"DROP VIEW IF EXISTS {view.name}")


def create_views(connection: Connection) -> None:
    """Create the views of `neurondb.schema.views`."""
    for view in VIEWS:
        connection.exec_driver_sql(f"CREATE VIEW {view.name} AS {view.select.strip()}")


def fill_lookups(connection: Connection) -> None:
    """Write the words behind the codes, where they are not there yet."""
    for table, rows in _list_lookups().items():
        if not connection.execute(table.select().limit(1)).first():
            connection.execute(insert(table), rows)


def _list_lookups() -> dict[Table, list[dict[str, object]]]:
    return {
        tables.rw_classes: [c._asdict() for c in (*CLASSES, UNDEFINED)],
        tables.vectors: [{"vector_id": i, "vector": v} for i, v in enumerate(codes.VECTORS)],
        tables.sign_case_names: [
            {"sign_case_id": i, "sign_case": case} for i, case in enumerate(codes.SIGN_CASES)
        ],
        tables.token_lists: [
            {"list_id": i, "vector": vector, "basis": basis, "direction": direction}
            for i, vector, basis, direction in codes.TOKEN_LISTS
        ],
        tables.example_lists: [
            {"list_id": i, "sign_case": case, "quantity": quantity}
            for i, case, quantity in codes.EXAMPLE_LISTS
        ],
        tables.peak_token_lists: [
            {"list_id": i, "sign_case": case, "place": place} for i, case, place in codes.PEAK_LISTS
        ],
        tables.quantities: [
            {"quantity_id": i, "quantity": quantity} for i, quantity in enumerate(codes.QUANTITIES)
        ],
        tables.control_kinds: [
            {"kind_id": i, "kind": kind} for i, kind in enumerate(codes.CONTROL_KINDS)
        ],
        tables.token_stat_places: [
            {"place_id": i, "place": place} for i, place in enumerate(codes.TOKEN_STAT_PLACES)
        ],
    }
