"""The stored cosines of a model against those of its weights, computed again in float64.

`neurondb verify` looks at some neurons of every layer; a fingerprint of a version that did not hash
all weights is renewed only after every neuron of the model was looked at.
"""

import json
from dataclasses import fields

import numpy as np
import torch
from numpy.typing import NDArray
from sqlalchemy import Connection, select
from torch import Tensor

from ingest.checkpoint.reader import Checkpoint
from ingest.weights.baselines import PAIRS
from ingest.weights.preprocess import NeuronVectors, preprocess_neurons
from neurondb.contracts.ingest import Preprocessing, VerifyReport
from neurondb.contracts.progress import Progress
from neurondb.errors import IngestError
from neurondb.reading.models import Model
from neurondb.schema import tables

TOLERANCE = 1e-6
"""By how much a stored cosine may be off, in absolute terms."""


def compare_stored_cosines(
    connection: Connection,
    model: Model,
    checkpoint: Checkpoint,
    progress: Progress,
    *,
    n_neurons: int | None = None,
    seed: int = 0,
) -> VerifyReport:
    """Recompute the cosines of `n_neurons` of every stored layer, drawn by `seed`; None is all.

    Raises:
        ModelError: when the weights cannot be read.
        IngestError: when a stored cosine is off by more than 1e-6.
    """
    layers = read_stored_choices(connection, model)
    rng = np.random.default_rng(seed)
    worst, n_compared = 0.0, 0
    with progress.stage("verify", len(layers), "layers") as advance:
        for layer, choices in layers.items():
            chosen = np.sort(rng.permutation(model.count_neurons(layer))[:n_neurons])
            weights = checkpoint.read_layer(layer)
            computed = _recomputed_cosines(
                preprocess_neurons(weights, checkpoint.architecture, choices), chosen
            )
            differences = _largest_differences(
                _stored_cosines(connection, model, layer)[chosen], computed
            )
            _refuse_beyond_tolerance(model, layer, chosen, differences)
            worst = max(worst, float(differences.max()))
            n_compared += len(chosen)
            advance(1)
    return VerifyReport(model.name, len(layers), n_compared, worst)


def read_stored_choices(connection: Connection, model: Model) -> dict[int, Preprocessing]:
    """Return the layers whose weights are stored, with the choices that were made."""
    step = tables.ingest_steps.c
    rows = connection.execute(
        select(step.layer, step.settings)
        .where(step.model_id == model.model_id, step.stage == "weights")
        .order_by(step.layer)
    )
    names = [field.name for field in fields(Preprocessing)]
    return {
        row.layer: Preprocessing(**{k: json.loads(row.settings)[k] for k in names}) for row in rows
    }


def _stored_cosines(connection: Connection, model: Model, layer: int) -> NDArray[np.float64]:
    """Return the stored cosines of a layer, neurons × pairs; NaN for NULL."""
    first = model.first_neuron_id + layer * model.d_mlp
    c = tables.cosines.c
    rows = connection.execute(
        select(*(c[pair] for pair in PAIRS))
        .where(c.neuron_id >= first, c.neuron_id < first + model.d_mlp)
        .order_by(c.neuron_id)
    ).all()
    return np.array([tuple(row) for row in rows], dtype=np.float64)


def _recomputed_cosines(vectors: NeuronVectors, chosen: NDArray[np.int64]) -> NDArray[np.float64]:
    rows = torch.from_numpy(chosen)
    cosines = np.full((len(chosen), len(PAIRS)), np.nan)
    for column, (left, right) in enumerate(PAIRS.values()):
        left_vectors, right_vectors = getattr(vectors, left), getattr(vectors, right)
        if left_vectors is not None:
            cosines[:, column] = _row_cosines(
                left_vectors[rows].double(), right_vectors[rows].double()
            )
    return cosines


def _row_cosines(left: Tensor, right: Tensor) -> NDArray[np.float64]:
    norms = torch.linalg.vector_norm(left, dim=1) * torch.linalg.vector_norm(right, dim=1)
    cosines: NDArray[np.float64] = ((left * right).sum(1) / norms).numpy()
    return cosines


def _largest_differences(
    stored: NDArray[np.float64], computed: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return each neuron's largest difference; one that is NULL on one side only is infinite."""
    both = np.isnan(stored) & np.isnan(computed)
    difference = np.where(both, 0.0, np.abs(stored - computed))
    worst: NDArray[np.float64] = np.nan_to_num(difference, nan=np.inf).max(1)
    return worst


def _refuse_beyond_tolerance(
    model: Model, layer: int, chosen: NDArray[np.int64], differences: NDArray[np.float64]
) -> None:
    wrong = int(differences.argmax())
    if differences[wrong] > TOLERANCE:
        name = model.name_place(layer, int(chosen[wrong]))
        raise IngestError(
            f"{model.name} {name}: a stored cosine is off by "
            f"{differences[wrong]:.2g}; run `neurondb ingest {model.source} --name {model.name} "
            "--force`"
        )
