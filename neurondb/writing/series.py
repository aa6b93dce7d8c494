"""A series of models → rows; its neurons are those of its comparisons, which are stored already."""

from collections.abc import Sequence

from sqlalchemy import Engine, insert, update

from neurondb import __version__
from neurondb.reading.models import Model
from neurondb.reading.series import find_series_id
from neurondb.schema import tables
from neurondb.writing.rows import format_utc_now, insert_one, transaction


def store_series(engine: Engine, models: Sequence[Model]) -> int:
    """Write that these models, in this order, are a series; return its id.

    One that is stored keeps its id, and gets the time of now.
    """
    made = {"created_at": format_utc_now(), "tool_version": __version__}
    s, m = tables.series, tables.series_models
    with transaction(engine) as connection:
        stored = find_series_id(connection, models)
        if stored is not None:
            connection.execute(update(s).where(s.c.series_id == stored).values(**made))
            return stored
        series_id = insert_one(connection, s, made)
        rows = [
            {"series_id": series_id, "step": step, "model_id": model.model_id}
            for step, model in enumerate(models)
        ]
        connection.execute(insert(m), rows)
    return series_id
