"""`neurondb upgrade`: bring an older database to the schema of this version."""

import click
from sqlalchemy import Engine, inspect

from neurondb import schema
from neurondb.cli import options
from neurondb.database import (
    connect,
    format_url,
    parse_url,
    refuse_unreleased,
    sqlite_path,
    translate_errors,
)
from neurondb.errors import DatabaseError
from neurondb.sqlite_files import check_readable


@click.command()
@options.database
def upgrade(db: str | None) -> None:
    """Bring an older database to this version's schema, in one transaction.

    An empty database gets the tables; one of this version stays as it is.
    """
    # Alembic takes as long to load as everything else together.
    from neurondb import migrate

    url = parse_url(db)
    path = sqlite_path(url)
    where = path or format_url(url)
    if path is not None:
        check_readable(path)
    engine = connect(url, writing=True)
    try:
        before = migrate.read_revision(engine)
        _refuse(engine, before)
        if before == schema.REVISION:
            click.echo(f"{where} has schema {before} already; nothing to do", err=True)
            return
        migrate.upgrade(engine)
        click.echo(
            f"{where}: schema {before or '(none)'} → {migrate.read_revision(engine)}", err=True
        )
    finally:
        engine.dispose()


def _refuse(engine: Engine, before: str | None) -> None:
    """Keep the hands off what is newer than this version, too old for it, or none of ours."""
    where = format_url(engine.url)
    refuse_unreleased(where, before)
    if before is not None and before > schema.REVISION:
        raise DatabaseError(
            f"{where} has schema {before}, newer than {schema.REVISION} of this version; "
            "install a newer neurondb"
        )
    with translate_errors(where), engine.connect() as connection:
        tables = set(inspect(connection).get_table_names()) - {"alembic_version"}
    if before is None and tables:
        raise DatabaseError(f"{where} is not a NeuronDB database; give another with --db")
