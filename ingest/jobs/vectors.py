"""The job `vectors`: weight vectors of neurons, read back from a stored model's checkpoint."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from ingest.checkpoint.reader import Checkpoint, LayerWeights
from ingest.forward.open_model import open_stored_model
from ingest.weights.preprocess import preprocess_neurons
from neurondb.contracts.ingest import Preprocessing
from neurondb.contracts.progress import Progress
from neurondb.contracts.vectors import NeuronVectors, VectorsRequest
from neurondb.reading.models import find_model, open_readonly
from neurondb.reading.pairs import read_preprocessing


def run(request: VectorsRequest, _progress: Progress) -> NeuronVectors:
    """Read the vectors of neurons, in the order in which they are asked for.

    As they are stored they have the model's own sign and precision, in float32. Preprocessed ones
    are what every number of the database is taken of.

    Raises:
        UnknownNameError: when the model is not in the database.
        IngestError: when its weights are gone or have changed, or were never analysed.
        ModelError: when they cannot be read.
    """
    with open_readonly(request.database) as connection:
        model = find_model(connection, request.model)
        checkpoint = open_stored_model(connection, model).checkpoint
        choices = read_preprocessing(connection, model) if request.preprocessed else None
    layers, neurons = np.divmod(request.neuron_ids - model.first_neuron_id, model.d_mlp)
    parts: dict[str, list[Tensor]] = {"gate": [], "in": [], "out": []}
    order = []  # places among those asked for
    for layer in np.unique(layers).tolist():
        how, first = None if choices is None else choices[layer], 0
        for part in checkpoint.read_parts(layer):
            end = first + len(part.in_)
            places = np.flatnonzero((layers == layer) & (neurons >= first) & (neurons < end))
            order.append(places)
            weights = _pick_rows(part, torch.from_numpy(neurons[places] - first))
            for name, rows in _get_vectors(weights, checkpoint, how).items():
                parts[name].append(rows)
            first = end
    back = np.argsort(np.concatenate(order))
    found = {name: torch.cat(rows)[back].numpy() for name, rows in parts.items() if rows}
    return NeuronVectors(found.get("gate"), found["in"], found["out"])


def _get_vectors(
    weights: LayerWeights, checkpoint: Checkpoint, choices: Preprocessing | None
) -> dict[str, Tensor]:
    """Return the vectors of neurons in float32, preprocessed where it is said how."""
    chosen = (
        weights
        if choices is None
        else preprocess_neurons(weights, checkpoint.architecture, choices)
    )
    vectors = {"in": chosen.in_.float(), "out": chosen.out.float()}
    return vectors if chosen.gate is None else vectors | {"gate": chosen.gate.float()}


def _pick_rows(weights: LayerWeights, rows: Tensor) -> LayerWeights:
    """Return the weights of some neurons of a layer; a copy, which outlives the mapped files."""

    def pick(part: Tensor | None) -> Tensor | None:
        return None if part is None else part[rows]

    return replace(
        weights,
        gate=pick(weights.gate),
        in_=weights.in_[rows],
        out=weights.out[rows],
        gate_bias=pick(weights.gate_bias),
        in_bias=pick(weights.in_bias),
    )
