"""`neurondb upgrade`: bring an older database to the schema of this version."""

import click
from sqlalchemy import Engine, inspect

from neurondb import schema
from neurondb.cli import options
from neurondb.database import (
    connect,
    format_url,
    get_sqlite_path,
    parse_url,
    refuse_unreleased,
    translate_errors,
)
from neurondb.errors import DatabaseError
from neurondb.sqlite_files import check_readable


@click.command()
@options.database
def upgrade(db: str | None) -> None:
    """Bring an older database to this version's schema, in one transaction.

    An empty database gets the tables; one of this version stays as it is. Where a new schema takes
    less room, the file is then written anew, if the disk has twice that room.
    """
    # Alembic takes as long to load as everything else together.
    from neurondb import migrate
    from neurondb.writing.packing import pack_after_load

    url = parse_url(db)
    path = get_sqlite_path(url)
    location = path or format_url(url)
    if path is not None:
        check_readable(path)
    engine = connect(url, writing=True)
    try:
        revision = migrate.read_revision(engine)
        _refuse(engine, revision)
        if revision == schema.REVISION:
            click.echo(f"{location} has schema {revision} already; nothing to do", err=True)
            return
        migrate.upgrade(engine)
        click.echo(
            f"{location}: schema {revision or '(none)'} → {migrate.read_revision(engine)}", err=True
        )
        for line in pack_after_load(engine):
            click.echo(line, err=True)
    finally:
        engine.dispose()


def _refuse(engine: Engine, revision: str | None) -> None:
    """Refuse a database that is newer than this version, too old for it, or not NeuronDB's."""
    location = format_url(engine.url)
    refuse_unreleased(location, revision)
    if revision is not None and revision > schema.REVISION:
        raise DatabaseError(
            f"{location} has schema {revision}, newer than {schema.REVISION} of this version; "
            "install a newer neurondb"
        )
    with translate_errors(location), engine.connect() as connection:
        tables = set(inspect(connection).get_table_names()) - {"alembic_version"}
    if revision is None and tables:
        raise DatabaseError(f"{location} is not a NeuronDB database; give another with --db")
