"""Classes at another threshold than the published one say so (METHODS §2)."""

from collections.abc import Iterable, Iterator

from sqlalchemy import Connection, Engine, select

from neurondb.asking.coverage import covered
from neurondb.asking.finding import understood
from neurondb.asking.names import model_called
from neurondb.asking.terms import OneOf
from neurondb.asking.tree import terms
from neurondb.database import translated
from neurondb.reading.models import MODEL_COLUMNS, Model
from neurondb.schema.tables import models
from neurondb.taxonomy import DEFAULT_THRESHOLD

CLASS_COLUMNS = frozenset(("class", "io_class", "class_a", "class_b", "weakening"))
"""Columns of answers that depend on the threshold."""


def found_at(engine: Engine, text: str, columns: Iterable[str]) -> list[str]:
    """Return a line where classes that `find` shows or asks for are not those at 0.5.

    Raises as `find` does.
    """
    expression = understood(engine, text)
    asked = any(isinstance(term, OneOf) and term.column == "class" for term in terms(expression))
    if not asked and not CLASS_COLUMNS & set(columns):
        return []
    with translated(engine.url.render_as_string()), engine.connect() as connection:
        every = _models(connection)
    return list(_notes(part.model for part in covered(expression, every)))


def answered_at(engine: Engine, columns: Iterable[str], model: str | None) -> list[str]:
    """Return a line where classes in the answer of a query, of a model or all, are not at 0.5."""
    if not CLASS_COLUMNS & set(columns):
        return []
    with translated(engine.url.render_as_string()), engine.connect() as connection:
        name = None if model is None else model_called(connection, model)
        every = _models(connection)
    return list(_notes(one for one in every if name is None or one.name == name))


def _models(connection: Connection) -> list[Model]:
    rows = connection.execute(select(*MODEL_COLUMNS).order_by(models.c.name))
    return [Model(*row) for row in rows]


def _notes(shown: Iterable[Model]) -> Iterator[str]:
    names: dict[float, list[str]] = {}
    for model in shown:
        if model.threshold != DEFAULT_THRESHOLD:
            names.setdefault(model.threshold, []).append(model.name)
    for threshold, of_it in names.items():
        yield (
            f"classes of {', '.join(of_it)} are those at τ = {threshold:g}, not "
            f"{DEFAULT_THRESHOLD:g}; `neurondb status` lists others, `neurondb ingest` shows them "
            f"by --tau"
        )
