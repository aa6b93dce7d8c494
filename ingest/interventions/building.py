"""A set of neurons and what is to be done to them → an intervention that hooks can carry out."""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from sqlalchemy import Connection

from ingest.interventions.hooks import Intervention
from ingest.interventions.targets import Targets
from neurondb.errors import IngestError
from neurondb.formatting.text import format_ingest_command
from neurondb.interventions import Treatment
from neurondb.reading.ablation_values import read_mean_posts, read_signs
from neurondb.reading.models import Model


class BuiltIntervention(NamedTuple):
    """An intervention, and the dataset whose activations gave its values, if any did."""

    intervention: Intervention
    means_dataset_id: int | None


def build_intervention(
    connection: Connection,
    model: Model,
    neuron_ids: NDArray[np.int64],
    treatment: Treatment,
    dataset_id: int | None,
) -> BuiltIntervention:
    """Return what to do to neurons of a model.

    Args:
        connection: The database.
        model: The stored model that they are of.
        neuron_ids: Ascending.
        treatment: The treatment of the neurons.
        dataset_id: The dataset whose activations give the means, where it has any; else those that
            neuron_overview shows.

    Raises:
        LackingModelError: when the neurons have no gate, and one is asked for.
        IngestError: when means are asked for, and there are no activations.
    """
    treatment.check(gated=model.gated)
    values, means = _values(connection, model, neuron_ids, treatment, dataset_id)
    signs = read_signs(connection, model, neuron_ids)
    layers, neurons = np.divmod(neuron_ids - model.first_neuron_id, model.d_mlp)
    targets = {
        int(layer): Targets(
            torch.from_numpy(neurons[layers == layer]),
            _float(signs[layers == layer]),
            _float(values[layers == layer]),
        )
        for layer in np.unique(layers)
    }
    return BuiltIntervention(Intervention(targets, treatment.hook, treatment.condition), means)


def _float(values: NDArray[np.float64]) -> torch.Tensor:
    return torch.from_numpy(values.astype(np.float32))


def _values(
    connection: Connection,
    model: Model,
    neuron_ids: NDArray[np.int64],
    treatment: Treatment,
    dataset_id: int | None,
) -> tuple[NDArray[np.float64], int | None]:
    if treatment.mode != "mean":
        return np.full(len(neuron_ids), treatment.value or 0.0), None
    for source_id in dict.fromkeys((dataset_id, model.dataset_id)):
        if source_id is None:
            continue
        means = read_mean_posts(connection, model, source_id, neuron_ids, treatment.condition)
        if means is not None:
            return means, source_id
    raise IngestError(
        f"{model.name} has no activations to take means of; run "
        f"`{format_ingest_command(model.name, model.source, 'activations')}`"
    )
