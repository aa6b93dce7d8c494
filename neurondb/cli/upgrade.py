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
from neurondb.writing.read_role import grant_reading


@click.command()
@options.database
@click.option(
    "--read-role",
    metavar="NAME",
    help="PostgreSQL: let this role read everything and change nothing; made where it is missing.",
)
def upgrade(db: str | None, read_role: str | None) -> None:
    """Bring an older database to this version's schema, in one transaction.

    An empty database gets the tables; one of this version stays as it is. Where a new schema takes
    less room, the file is then written anew, if the disk has twice that room. With --read-role, a
    role of PostgreSQL may then SELECT from all tables and views, for those who ask in SQL of their
    own:

    \b
    neurondb upgrade --db postgresql://lab/neurons --read-role reader
    psql lab -c "ALTER ROLE reader LOGIN PASSWORD '…'"
    neurondb sql --db postgresql://reader@lab/neurons "SELECT count(*) FROM neurons"
    """  # noqa: D301
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
            done = "" if read_role else "; nothing to do"
            click.echo(f"{location} has schema {revision} already{done}", err=True)
        else:
            migrate.upgrade(engine)
            new = migrate.read_revision(engine)
            click.echo(f"{location}: schema {revision or '(none)'} → {new}", err=True)
            for line in pack_after_load(engine):
                click.echo(line, err=True)
        if read_role:
            _grant_reading(engine, read_role)
    finally:
        engine.dispose()


def _grant_reading(engine: Engine, role: str) -> None:
    is_new = grant_reading(engine, role)
    click.echo(
        f"the role {role} may read all tables and views"
        + (f"; it cannot log in yet: ALTER ROLE {role} LOGIN PASSWORD '…'" if is_new else ""),
        err=True,
    )


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
