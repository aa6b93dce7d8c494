"""Databases of models as they were published: neurons whose cosines give the published classes.

Nothing of the code under test makes them but the tables themselves.
"""

import json
from pathlib import Path
from typing import Any, Final

import numpy as np
from sqlalchemy import Connection, Engine, insert

from neurondb.migrate import create_or_open
from neurondb.reading.models import Model, find_model
from neurondb.schema import tables
from neurondb.writing.rows import insert_columns

ROOT: Final = Path(__file__).parents[2]
COUNTS: Final[dict[str, dict[str, list[list[int]]]]] = json.loads(
    (ROOT / "neurondb/published/data/class_counts.json").read_text()
)["counts_by_layer"]
FIGURES: Final[dict[str, Any]] = json.loads(
    (ROOT / "neurondb/published/data/figures.json").read_text()
)

GATED_COSINES: Final = np.array(
    [
        *((0.8, 0.8, 0.8), (0.1, 0.8, 0.8), (0.1, 0.1, 0.8), (0.8, 0.1, 0.8)),
        *((0.1, 0.8, 0.1), (0.8, 0.8, 0.1), (0.1, 0.1, 0.1)),
        *((0.8, -0.8, -0.8), (0.1, 0.8, -0.8), (0.1, 0.1, -0.8), (0.8, 0.1, -0.8)),
    ]
)
"""For every class of METHODS §2, in its order, a neuron of it: (gate_in, gate_out, in_out)."""
UNGATED_COSINES: Final = np.array([(0.0, 0.0, 0.8), (0.0, 0.0, 0.1), (0.0, 0.0, -0.8)])
UNGATED_IDS: Final = np.array([0, 6, 7])


def make_class_ids(counts: list[list[int]], *, gated: bool) -> np.ndarray[Any, Any]:
    """Return class ids by layer and neuron: so many of each class in each layer, in order."""
    kinds = np.arange(11) if gated else UNGATED_IDS
    return np.array([np.repeat(kinds, of_layer) for of_layer in counts])


def make_cosines(counts: list[list[int]], *, gated: bool) -> np.ndarray[Any, Any]:
    """Return (layers, neurons, 3) cosines of these classes; orthogonal ones turn with the depth."""
    kinds = GATED_COSINES if gated else UNGATED_COSINES
    cosines = np.array([np.repeat(kinds, of_layer, axis=0) for of_layer in counts])
    orthogonal = cosines[..., 2] == 0.1
    cosines[..., 2][len(counts) // 2 :][orthogonal[len(counts) // 2 :]] = -0.1
    return cosines


def describe(connection: Connection, name: str, shape: tuple[int, int], **columns: Any) -> Model:
    """Insert the row of a model and its layers, and return it."""
    n_layers, d_mlp = shape
    row = {
        "name": name, "source": "here", "architecture": "llama", "gated": True,
        "activation": "silu", "n_layers": n_layers, "d_model": 1024, "d_mlp": d_mlp, "d_vocab": 100,
        "fingerprint": "f", "first_neuron_id": 1, "threshold": 0.5,
    } | columns  # fmt: skip
    (model_id,) = connection.execute(insert(tables.models), row).inserted_primary_key or (0,)
    layers = [{"model_id": model_id, "layer": layer} for layer in range(n_layers)]
    connection.execute(insert(tables.layers), layers)
    return find_model(connection, name)


def put_neurons(connection: Connection, model: Model, cosines: np.ndarray[Any, Any]) -> None:
    """Insert every neuron with its cosines; those of an ungated model have in_out only."""
    ids = model.first_neuron_id + np.arange(model.n_neurons)
    layer, neuron = np.divmod(np.arange(model.n_neurons), model.d_mlp)
    one = np.ones(len(ids))
    insert_columns(
        connection,
        tables.neurons,
        {"neuron_id": ids, "model_id": np.full(len(ids), model.model_id), "layer": layer,
         "neuron": neuron, "sign": np.ones(len(ids), int), "in_norm": one, "out_norm": one},
    )  # fmt: skip
    gate_in, gate_out, in_out = cosines.reshape(-1, 3).T
    missing = np.full(len(ids), np.nan)
    insert_columns(
        connection,
        tables.cosines,
        {"neuron_id": ids, "gate_in": gate_in if model.gated else missing,
         "gate_out": gate_out if model.gated else missing, "in_out": in_out},
    )  # fmt: skip


def put_classes(connection: Connection, model: Model, class_ids: np.ndarray[Any, Any]) -> None:
    """Insert the class of every neuron at the τ that the model shows."""
    ids = model.first_neuron_id + np.arange(model.n_neurons)
    columns = {"neuron_id": ids, "threshold": np.full(len(ids), model.threshold)}
    insert_columns(connection, tables.classes, columns | {"class_id": class_ids.ravel()})


def put_dataset(connection: Connection, model: Model, name: str, n_tokens: int) -> Model:
    """Insert a dataset that the model has read and shows."""
    row = {"dataset_id": 1, "name": name, "source": "here", "fingerprint": "f", "n_texts": 3}
    connection.execute(insert(tables.dataset_rows), row)
    read = {"model_id": model.model_id, "dataset_id": 1, "max_len": 1024, "skip_bos": False}
    connection.execute(
        insert(tables.tokenizations), read | {"n_tokens": n_tokens, "n_truncated": 0}
    )
    m = tables.models
    connection.execute(m.update().where(m.c.model_id == model.model_id).values(dataset_id=1))
    return find_model(connection, model.name)


def build(path: Path, name: str, key: str, kind: str) -> Engine:
    """Write a database with a model as its published table describes it, and return its engine.

    Args:
        path: file of the database.
        name: name of the stored model.
        key: its name in the published tables.
        kind: gated or ungated.
    """
    counts, gated = COUNTS[kind][key], kind == "gated"
    engine = create_or_open(str(path))
    with engine.begin() as connection:
        shape = (len(counts), sum(counts[0]))
        model = describe(connection, name, shape, gated=gated)
        put_neurons(connection, model, make_cosines(counts, gated=gated))
        put_classes(connection, model, make_class_ids(counts, gated=gated))
    return engine
