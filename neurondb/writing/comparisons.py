"""Two models compared neuron by neuron → rows; several, compared in pairs, are a series."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Engine, insert, select, update

from neurondb import __version__
from neurondb.contracts.compare import ComparisonRecord
from neurondb.errors import IngestError
from neurondb.reading.models import Model
from neurondb.reading.series import find_series_id
from neurondb.schema import tables
from neurondb.writing.models import StoredModel
from neurondb.writing.rows import (
    Columns,
    fill_with_nan,
    format_utc_now,
    insert_columns,
    insert_one,
    transaction,
)


def store_comparison(
    engine: Engine, before: StoredModel, after: StoredModel, layers: Iterable[ComparisonRecord]
) -> int:
    """Write the comparison of two models, in place of an earlier one of the two; return its id.

    It is stored whole or not at all: the layers are all computed before the transaction begins, so
    that an iterator which fails leaves what was there, and one which is slow locks nobody out.

    `before` becomes `model_a`, `after` `model_b`; `layers` has every layer once.

    Raises:
        IngestError: when the models differ in shape, or a layer is missing.
    """
    _require_same_shape(before, after)
    records = sorted(layers, key=lambda record: record.layer)
    if [record.layer for record in records] != list(range(before.n_layers)):
        layers_given = ", ".join(str(record.layer) for record in records) or "none"
        raise IngestError(
            f"a comparison of {before.name} and {after.name} needs each of its {before.n_layers} "
            f"layers once, and has {layers_given}"
        )
    with transaction(engine) as connection:
        _forget(connection, before, after)
        values = {
            "model_a": before.model_id,
            "model_b": after.model_id,
            "created_at": format_utc_now(),
            "tool_version": __version__,
            "share_same_token": _share_same_token(records),
        }
        comparison_id = insert_one(connection, tables.comparisons, values)
        for record in records:
            columns = {"comparison_id": np.full(before.d_mlp, comparison_id)} | _make_columns(
                record
            )
            insert_columns(connection, tables.comparison_neurons, columns)
    return comparison_id


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


def _require_same_shape(before: StoredModel, after: StoredModel) -> None:
    shapes = [(model.n_layers, model.d_mlp) for model in (before, after)]
    if shapes[0] != shapes[1]:
        sizes = [f"{layers} layers of {width} neurons" for layers, width in shapes]
        raise IngestError(
            f"{before.name} has {sizes[0]}, {after.name} {sizes[1]}; "
            "only models of the same shape can be compared"
        )


def _forget(connection: Connection, before: StoredModel, after: StoredModel) -> None:
    c, n = tables.comparisons, tables.comparison_neurons
    of_both = (c.c.model_a == before.model_id) & (c.c.model_b == after.model_id)
    ids = select(c.c.comparison_id).where(of_both)
    connection.execute(n.delete().where(n.c.comparison_id.in_(ids)))
    connection.execute(c.delete().where(of_both))


def _share_same_token(records: Sequence[ComparisonRecord]) -> float | None:
    same_token = np.concatenate([record.same_token for record in records])
    compared = same_token[same_token >= 0]
    return float(compared.mean()) if len(compared) else None


def _make_columns(record: ComparisonRecord) -> Columns:
    n = len(record.in_cosine)
    cosines = [fill_with_nan(record.gate_cosine, record.in_cosine)]
    cosines += [
        fill_with_nan(record.in_cosine, record.in_cosine),
        fill_with_nan(record.out_cosine, record.in_cosine),
    ]
    smallest = np.fmin.reduce(cosines)  # NaN only where all are
    return {
        "layer": np.full(n, record.layer),
        "neuron": np.arange(n),
        **dict(zip(("gate_cosine", "in_cosine", "out_cosine"), cosines, strict=True)),
        "same_token": [None if code < 0 else bool(code) for code in record.same_token.tolist()],
        "class_a": _replace_negative(record.class_a),
        "class_b": _replace_negative(record.class_b),
        "moved": 1 - smallest,
    }


def _replace_negative(codes: NDArray[np.int64]) -> list[int | None]:
    return [None if code < 0 else code for code in codes.tolist()]
