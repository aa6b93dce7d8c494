"""A role of PostgreSQL that may read what is stored, and nothing else.

A read-only transaction keeps statements from writing to tables. What functions do is up to the
role: a superuser's may read the server's files and end others' sessions from within a SELECT. Nor
does SET ROLE help, which a statement can take back. So those who ask in SQL of their own get a role
to connect as: it owns nothing, and has SELECT on the tables and views, also on later ones.
"""

import re
from typing import Final

from sqlalchemy import Connection, Engine, text

from neurondb.errors import DatabaseError, UsageError
from neurondb.schema import VIEWS, metadata
from neurondb.spelling import option
from neurondb.writing.rows import transaction

_NAME: Final = re.compile(r"[a-z_][a-z0-9_]{0,62}")
_RIGHTS: Final = ("rolsuper", "rolcreaterole", "rolcreatedb", "rolreplication", "rolbypassrls")
_WRITING: Final = "INSERT, UPDATE, DELETE, TRUNCATE"


def grant_reading(engine: Engine, role: str) -> bool:
    """Let a role read all tables and views; return whether it was made, as one that cannot log in.

    Raises:
        UsageError: when the database is SQLite's, which knows no roles, or the name is none.
        DatabaseError: when there is a role of that name that may do more, or none may be made.
    """
    if engine.dialect.name != "postgresql":
        raise UsageError(f"{option('read_role')} is for PostgreSQL: SQLite knows no roles")
    if not _NAME.fullmatch(role):
        raise UsageError(
            f"{option('read_role')} {role!r}: use lower-case letters, digits and _, like reader"
        )
    with transaction(engine) as connection:
        row = connection.execute(
            text("SELECT * FROM pg_roles WHERE rolname = :role"), {"role": role}
        ).first()
        if row is not None and any(getattr(row, right) for right in _RIGHTS):
            raise DatabaseError(f"the role {role} may do more than read; give a new name")
        if row is None:
            connection.exec_driver_sql(f'CREATE ROLE "{role}" NOLOGIN')
        _grant(connection, role)
        _refuse_writer(connection, role)
    return row is None


def _grant(connection: Connection, role: str) -> None:
    schema = connection.exec_driver_sql("SELECT current_schema()").scalar_one()
    names = ", ".join((*metadata.tables, *(view.name for view in VIEWS), "alembic_version"))
    for statement in (
        f'GRANT USAGE ON SCHEMA "{schema}" TO "{role}"',
        f'GRANT SELECT ON {names} TO "{role}"',
        # an upgrade makes views anew, and tables that are not there yet
        f'ALTER DEFAULT PRIVILEGES IN SCHEMA "{schema}" GRANT SELECT ON TABLES TO "{role}"',
        f'ALTER ROLE "{role}" SET default_transaction_read_only = on',
    ):
        connection.exec_driver_sql(statement)


def _refuse_writer(connection: Connection, role: str) -> None:
    """Refuse a role that may write to a table, as its owner or as a member of another role."""
    for name in metadata.tables:
        writes = text("SELECT has_table_privilege(:role, :name, :rights)")
        values = {"role": role, "name": name, "rights": _WRITING}
        if connection.execute(writes, values).scalar_one():
            raise DatabaseError(f"the role {role} may write to {name}; give a new name")
