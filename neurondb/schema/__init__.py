"""The relations of the database: tables, views, and the codes that join them."""

from typing import Final

from neurondb.schema import tables
from neurondb.schema.columns import metadata
from neurondb.schema.views import VIEWS

REVISION: Final = "0008"
"""Alembic revision these definitions correspond to; a test compares it with migrations/."""

__all__ = ["REVISION", "VIEWS", "metadata", "tables"]
