"""Open a database for the length of a few questions."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection

from neurondb.database import called, open_existing, translated


@contextmanager
def opened(location: str | None = None) -> Iterator[Connection]:
    """Open a connection that cannot write to the database at a path or URL, and close it after.

    Raises:
        DatabaseError: when there is none, it is older, newer or something else, or fails to read.
    """
    engine = open_existing(location)
    try:
        with translated(called(engine.url)), engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()
