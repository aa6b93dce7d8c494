"""The relations of the database: tables, views, and the codes that join them."""

from typing import Final

from neurondb.schema import tables
from neurondb.schema.columns import metadata
from neurondb.schema.views import VIEWS

FIRST: Final = "0008"
"""Alembic revision of the first release, the oldest that `neurondb upgrade` starts from."""
REVISION: Final = "0031"
"""Alembic revision these definitions correspond to; a test compares it with migrations/."""
REWRITTEN: Final = "0031"
"""The newest revision whose upgrade shortens the rows of large tables, and leaves room in pages."""

__all__ = ["FIRST", "REVISION", "REWRITTEN", "VIEWS", "metadata", "tables"]
