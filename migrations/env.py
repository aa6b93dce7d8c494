"""Alembic's entry: runs on the connection that `neurondb.migrate` hands over."""

from alembic import context

from neurondb.full_text import is_shadow
from neurondb.schema import metadata

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=metadata,
    render_as_batch=True,
    compare_type=True,
    transactional_ddl=True,
    include_name=lambda name, kind, _: kind != "table" or not is_shadow(name or ""),
)
with context.begin_transaction():
    context.run_migrations()
