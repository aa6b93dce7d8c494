"""A small gated model in which every pattern of the papers is planted, and its mirror image.

10 layers of 400 neurons. Early layers (0 to 4) have 2 strengthening, 100 conditional strengthening
and 20 proportional change neurons each, late ones 4 weakening, 40 conditional weakening and 20
proportional change; the rest is orthogonal output. What a neuron does follows from its class.
"""

from typing import Any, Final

import numpy as np
from sqlalchemy import Connection, insert

from neurondb.reading.models import Model
from neurondb.schema import tables
from neurondb.writing.rows import insert_columns
from tests.support.published_models import (
    describe,
    make_class_ids,
    make_cosines,
    put_classes,
    put_dataset,
    put_neurons,
)

LAYERS, WIDTH = 10, 400
_EARLY: Final = [2, 0, 100, 0, 20, 0, 278, 0, 0, 0, 0]
_LATE: Final = [0, 0, 0, 0, 20, 0, 336, 4, 0, 40, 0]
FIRES: Final = {0: 0.2, 2: 0.1, 4: 0.4, 6: 0.4, 7: 0.7, 9: 0.8}
"""Class id → share of tokens its neurons fire on, in even neurons .05 less and in odd ones more."""
PREDICTION, SUPPRESSION = ((5, 5), (6, 5), (7, 5), (8, 1), (9, 1)), ((8, 15), (9, 15))
"""Layer and how many of its neurons are prediction, or suppression, neurons."""
NULL_LAYERS: Final = 2
N_NULL: Final = 30
"""Neurons of each of the last layers that write mostly in null directions."""


def plant(connection: Connection, *, mirrored: bool = False) -> Model:
    """Insert the model `planted`; mirrored, with its layers in the opposite order and more.

    Mirrored: the first layer is the last, neurons fire where they did not, and random regions are
    as wide as cosines get.
    """
    model = describe(connection, "planted", (LAYERS, WIDTH), first_neuron_id=50_000)
    model = put_dataset(connection, model, "texts", 1000)
    counts = [_EARLY] * 5 + [_LATE] * 5
    ids, cosines = make_class_ids(counts, gated=True), make_cosines(counts, gated=True)
    fires = np.vectorize(FIRES.get)(ids) + np.where(np.arange(WIDTH) % 2, 0.05, -0.05)
    moments = _make_moments()
    if mirrored:
        ids, cosines, fires = ids[::-1], cosines[::-1], 1 - fires[::-1]
        moments = moments[::-1]
    put_neurons(connection, model, cosines)
    put_classes(connection, model, ids)
    _put_values(connection, model, fires, moments)
    region = 0.95 if mirrored else 0.15
    baselines = [
        {"model_id": model.model_id, "layer": layer, "kind": "gaussian", "pair": "in_out",
         "low": -region, "high": region}
        for layer in range(LAYERS)
    ]  # fmt: skip
    connection.execute(insert(tables.baselines), baselines)
    return model


def _make_moments() -> np.ndarray[Any, Any]:
    """Return (layers, neurons, 3): skewness, kurtosis and share in the null directions."""
    moments = np.zeros((LAYERS, WIDTH, 3))
    moments[..., 1] = np.where(np.arange(LAYERS) < 5, 3.5, 6.0)[:, None]
    moments[..., 2] = 0.1
    for roles, skewness, start in ((PREDICTION, 1.0, 0), (SUPPRESSION, -1.0, 100)):
        for layer, n in roles:
            moments[layer, start : start + n, :2] = skewness, 20.0
    moments[LAYERS - NULL_LAYERS :, 200 : 200 + N_NULL, 2] = 0.9
    return moments


def _put_values(
    connection: Connection, model: Model, fires: np.ndarray[Any, Any], moments: np.ndarray[Any, Any]
) -> None:
    ids = model.first_neuron_id + np.arange(model.n_neurons)
    n = len(ids)
    insert_columns(
        connection,
        tables.activation_stats,
        {"neuron_id": ids, "dataset_id": np.ones(n, int), "n_tokens": np.full(n, 1000),
         "freq": fires.ravel()},
    )  # fmt: skip
    skewness, kurtosis, null_share = moments.reshape(-1, 3).T
    insert_columns(
        connection,
        tables.vocab_stat_rows,
        {"neuron_id": ids, "vector_id": np.full(n, 2), "skewness": skewness, "kurtosis": kurtosis,
         "variance": np.full(n, 0.001), "null_share": null_share},
    )  # fmt: skip
