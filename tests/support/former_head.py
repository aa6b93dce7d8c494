"""A database of the last schema before the first release, with a neuron on two texts.

That version's migrations made it, from the first one on, so that its tables had been altered;
`former_head.sql` is its dump.
"""

import sqlite3
from pathlib import Path


def former_head(path: Path) -> Path:
    """Write the database to a new file, and return the file."""
    dump = Path(__file__).with_name("former_head.sql").read_text(encoding="utf-8")
    with sqlite3.connect(path) as connection:
        connection.executescript(dump)
    return path
