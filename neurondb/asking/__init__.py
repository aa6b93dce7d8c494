"""Ask the database: `find` expressions, named queries, plain SQL; all of them only read."""

from neurondb.asking.finding import count, find, why_empty
from neurondb.asking.statements import Rows, opened, run_sql

__all__ = ["Rows", "count", "find", "opened", "run_sql", "why_empty"]
