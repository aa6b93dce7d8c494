"""Read-only SQL: any SELECT of a user's, with bounds on what it may do and on what it may cost.

`running` opens a database and runs one statement on it, `limits` and `functions` bound the cost,
`near_names` says what an unknown name may have meant, and `query_files` reads and writes the form
of the files in queries/.
"""

from neurondb.sql.running import Rows, open_engine, run_sql

__all__ = ["Rows", "open_engine", "run_sql"]
