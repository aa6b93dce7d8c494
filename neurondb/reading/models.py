"""Which models a database holds, and the one that a user means."""

import difflib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, func, select

from neurondb.errors import UnknownNameError
from neurondb.schema import tables

NAMES_LISTED: Final = 20
"""Names that an error message lists at most."""


@dataclass(frozen=True)
class Model:
    """A model as the `models` table knows it, column by column."""

    model_id: int
    name: str
    source: str
    revision: str | None
    architecture: str
    gated: bool
    activation: str
    n_layers: int
    d_model: int
    d_mlp: int
    d_vocab: int
    first_neuron_id: int
    threshold: float
    dataset_id: int | None
    n_unused_rows: int | None = None
    quantisation: str | None = None

    @property
    def n_tokens(self) -> int:
        """Tokens of the vocabulary: rows of U and E but for those known to be no token's."""
        return self.d_vocab - (self.n_unused_rows or 0)

    @property
    def n_neurons(self) -> int:
        """Neurons of all layers."""
        return self.n_layers * self.d_mlp


@dataclass(frozen=True)
class ModelSummary:
    """A model, the dataset that neuron_overview shows for it, and its complete stages."""

    model: Model
    dataset: str | None
    stages: tuple[str, ...]


def why_no_token(model: Model, token_id: int) -> str:
    """Say why a model whose tokens are stored has no token of an id."""
    if token_id < model.d_vocab:
        return "that row of its embedding is no token's"
    return f"its ids are 0 to {model.d_vocab - 1}"


MODEL_COLUMNS: Final = tuple(tables.models.c[field.name] for field in fields(Model))


def find_model(connection: Connection, name: str) -> Model:
    """Return the model of this name, or the one read from this hub id or directory.

    A name in other letter case, or a directory by another path, is one when nothing is exactly it.

    Raises:
        UnknownNameError: when there is none, with the names that come close; or several.
    """
    m = tables.models.c
    alike = (
        m.name == name,
        m.source == name,
        func.lower(m.name) == name.lower(),
        func.lower(m.source) == name.lower(),
        m.source == _directory(name),
    )
    chosen: list[Model] = []
    for same in alike:
        found = connection.execute(select(*MODEL_COLUMNS).where(same).order_by(m.name))
        chosen = [Model(*row) for row in found]
        if chosen:
            break
    if len(chosen) == 1:
        return chosen[0]
    if chosen:
        names = listed([model.name for model in chosen])
        raise UnknownNameError(f"{name!r} means {len(chosen)} models; name one: {names}")
    raise UnknownNameError(_no_such_model(connection, name))


def _directory(name: str) -> str | None:
    """Return a directory as `ingest` stores it as a source."""
    try:
        return str(Path(name).expanduser().resolve())
    except (OSError, ValueError, RuntimeError):  # no path at all: a NUL, a loop, no such home
        return None


def _no_such_model(connection: Connection, name: str) -> str:
    m = tables.models.c
    names = [row.name for row in connection.execute(select(m.name).order_by(m.name))]
    if not names:
        return f"no model {name!r}: this database has none yet; `neurondb ingest MODEL` adds one"
    close = difflib.get_close_matches(name.lower(), names, n=1)
    hint = f"did you mean {close[0]!r}? It has" if close else "it has"
    return f"no model {name!r} in this database; {hint}: {listed(names)}"


def listed(names: list[str]) -> str:
    """Return names in one line, the first `NAMES_LISTED` of them."""
    more = len(names) - NAMES_LISTED
    return ", ".join(names[:NAMES_LISTED]) + (f" and {more} more" if more > 0 else "")


def list_models(connection: Connection) -> tuple[ModelSummary, ...]:
    """Return every model of the database, by name."""
    d, m = tables.dataset_rows.c, tables.models.c
    rows = connection.execute(
        select(*MODEL_COLUMNS, d.name.label("dataset"))
        .outerjoin_from(tables.models, tables.dataset_rows, d.dataset_id == m.dataset_id)
        .order_by(m.name)
    )
    stages = _stages(connection)
    return tuple(
        ModelSummary(Model(*row[:-1]), row.dataset, tuple(stages.get(row.model_id, ())))
        for row in rows
    )


def _stages(connection: Connection) -> dict[int, list[str]]:
    """Return the stages of each model that are complete, in the order of their first steps."""
    s, m = tables.ingest_steps.c, tables.models.c
    layers = func.count(s.layer.distinct()).filter(s.layer >= 0)
    rows = connection.execute(
        select(s.model_id, s.stage)
        .join_from(tables.ingest_steps, tables.models, m.model_id == s.model_id)
        .group_by(s.model_id, s.stage, s.dataset_id, m.n_layers)
        # A stage without a step of any layer is one of the whole model.
        .having(layers.in_((0, m.n_layers)))
        .order_by(func.min(s.step_id))
    )
    stages: dict[int, list[str]] = {}
    for row in rows:
        of_model = stages.setdefault(row.model_id, [])
        if row.stage not in of_model:  # a stage of several datasets
            of_model.append(row.stage)
    return stages
