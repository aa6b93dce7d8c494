"""Neurons that moved between two models, or over a series of models, as answers ask for them."""

from sqlalchemy import Connection, select

from neurondb.schema import tables
from neurondb.sql.running import Value


def explain_missing_series(connection: Connection, series: Value | None) -> list[str]:
    """Return a line where no series of this number is stored; None is any series."""
    s = tables.series.c.series_id
    rows = select(s) if series is None else select(s).where(s == series)
    if connection.execute(rows.limit(1)).first() is not None:
        return []
    number = "" if series is None else f" {series}"
    return [f"no series{number} of models is stored: run `neurondb compare A B C`"]
