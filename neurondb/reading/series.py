"""Series of models: checkpoints of a training, quantisations, fine-tunes, in the order given.

A series is made of comparisons of pairs: of every model with the one before it, which says what a
step changed, and of every model with the first, which says how far it is from where it began. All
classes are those of the comparisons with the first model, so at its τ.
"""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, select

from neurondb.errors import UnknownNameError, UsageError
from neurondb.reading.models import MODEL_COLUMNS, Model, find_model
from neurondb.reading.pairs import Pair, find_pair, find_stored_comparison
from neurondb.schema import tables

FEWEST: Final = 3
"""Models from which a comparison is one of a series."""
MOST: Final = 30
"""Models of a series at most: the query `class-paths` packs a path into two integers."""


@dataclass(frozen=True)
class Series:
    """A stored series; step 0 is the first of its models."""

    series_id: int
    created_at: str
    models: tuple[Model, ...]

    @property
    def command(self) -> str:
        """The command that compares its models again."""
        return format_series_command([model.name for model in self.models])

    @property
    def title(self) -> str:
        """Its models' names, those in the middle of a long series left out."""
        names = [model.name for model in self.models]
        if len(names) > 4:
            names = [names[0], names[1], "…", names[-1]]
        return " → ".join(names)


def format_series_command(names: Sequence[str]) -> str:
    """Return the command that compares models of these names."""
    return f"neurondb compare {' '.join(map(shlex.quote, names))}"


def find_series_models(connection: Connection, names: Sequence[str]) -> tuple[Model, ...]:
    """Return models of the database that can be a series, in the order of their names.

    Raises:
        UnknownNameError: when the database lacks one of them.
        UsageError: when they are too few or too many, or when one is named twice.
        IngestError: when one differs from the first in shape or in what was done to the weights, or
            when a layer is not ingested.
    """
    if not FEWEST <= len(names) <= MOST:
        raise UsageError(f"a series has {FEWEST} to {MOST} models, not {len(names)}")
    models = tuple(find_model(connection, name) for name in names)
    for step, model in enumerate(models):
        if model.model_id in [earlier.model_id for earlier in models[:step]]:
            raise UsageError(f"{names[step]!r} stands in the series twice; name each model once")
        if step:
            find_pair(connection, names[0], names[step])
    return models


def list_series_pairs(models: Sequence[Model]) -> tuple[Pair, ...]:
    """Return the pairs that a series is made of: each model with the first and the one before."""
    return tuple(
        Pair(models[before], models[step])
        for step in range(1, len(models))
        for before in dict.fromkeys((0, step - 1))
    )


def list_missing_pairs(connection: Connection, models: Sequence[Model]) -> tuple[Pair, ...]:
    """Return the pairs of a series that are not compared, or were before one of them changed."""
    return tuple(
        pair
        for pair in list_series_pairs(models)
        if find_stored_comparison(connection, pair) is None
    )


def find_series_id(connection: Connection, models: Sequence[Model]) -> int | None:
    """Return the id under which these models, in this order, are a series; None if they are not."""
    s = tables.series_models.c
    wanted = [model.model_id for model in models]
    of_first = select(s.series_id).where(s.step == 0, s.model_id == wanted[0])
    for series_id in connection.scalars(of_first.order_by(s.series_id)).all():
        of_series = select(s.model_id).where(s.series_id == series_id).order_by(s.step)
        if list(connection.scalars(of_series)) == wanted:
            return int(series_id)
    return None


def find_stored_series(connection: Connection, models: Sequence[Model]) -> int | None:
    """Return the id of a stored series of which every pair still holds; None otherwise."""
    series_id = find_series_id(connection, models)
    return None if series_id is None or list_missing_pairs(connection, models) else series_id


def read_series(connection: Connection, series_id: int) -> Series:
    """Return a stored series by its id.

    Raises:
        UnknownNameError: when there is none.
    """
    found = [one for one in list_stored_series(connection) if one.series_id == series_id]
    if not found:
        raise UnknownNameError(
            f"no series {series_id} is stored; `neurondb query series-steps` lists them, and"
            " `neurondb compare A B C` makes one"
        )
    return found[0]


def list_stored_series(connection: Connection, model: Model | None = None) -> tuple[Series, ...]:
    """Return all series, or those that a model is part of, the newest first."""
    s, e, m = tables.series_models.c, tables.series.c, tables.models.c
    query = (
        select(s.series_id, e.created_at, *MODEL_COLUMNS)
        .join_from(tables.series_models, tables.series, e.series_id == s.series_id)
        .join(tables.models, m.model_id == s.model_id)
        .order_by(s.series_id.desc(), s.step)
    )
    if model is not None:
        of_model = select(s.series_id).where(s.model_id == model.model_id)
        query = query.where(s.series_id.in_(of_model))
    stored: dict[tuple[int, str], list[Model]] = {}
    for series_id, created_at, *columns in connection.execute(query):
        stored.setdefault((series_id, created_at), []).append(Model(*columns))
    return tuple(Series(*key, tuple(models)) for key, models in stored.items())


def require_current(connection: Connection, series: Series) -> None:
    """Refuse a series of which a comparison no longer holds.

    Raises:
        UnknownNameError: when a model has changed since, with the command that compares again.
    """
    missing = list_missing_pairs(connection, series.models)
    if missing:
        before, after = missing[0]
        raise UnknownNameError(
            f"series {series.series_id}: {before.name} and {after.name} were compared before one of"
            f" them changed; run `{series.command}`"
        )
