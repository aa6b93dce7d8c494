"""The weight analysis of one layer → rows: neurons, cosines, baselines and classes."""

import numpy as np
from sqlalchemy import select

from neurondb.contracts.weights import WeightsRecord
from neurondb.experts import Experts
from neurondb.schema import tables
from neurondb.taxonomy import classify
from neurondb.writing.ledger import StepWriter
from neurondb.writing.neighbours import forget_neighbours
from neurondb.writing.rows import Columns, fill_with_nan


def write_weights(writer: StepWriter, layer: int, record: WeightsRecord) -> None:
    """Write a layer's neurons, cosines and baselines.

    Neighbours that were computed of the weights before are deleted.
    """
    forget_neighbours(writer.connection, writer.model)
    ids = writer.neuron_ids(layer)
    writer.replace_neurons(
        layer,
        {
            "neuron_id": ids,
            "model_id": np.full(len(ids), writer.model.model_id),
            "layer": np.full(len(ids), layer),
            "neuron": np.arange(len(ids)),
            **_list_experts(writer.model.experts, layer, len(ids)),
            "sign": record.sign,
            "gate_norm": fill_with_nan(record.gate_norm, ids),
            "in_norm": fill_with_nan(record.in_norm, ids),
            "out_norm": fill_with_nan(record.out_norm, ids),
            "gate_bias": fill_with_nan(record.gate_bias, ids),
            "in_bias": fill_with_nan(record.in_bias, ids),
            "penalty": fill_with_nan(record.penalty, ids),
        },
    )
    writer.replace_layer(
        tables.cosines,
        layer,
        {
            "neuron_id": ids,
            "gate_in": fill_with_nan(record.gate_in, ids),
            "gate_out": fill_with_nan(record.gate_out, ids),
            "in_out": fill_with_nan(record.in_out, ids),
        },
    )
    _write_baselines(writer, layer, record)


def _list_experts(experts: Experts | None, layer: int, n_neurons: int) -> Columns:
    """Return the experts of a layer's neurons; no columns, which is NULL, where it has none."""
    if experts is None or not experts.is_divided(layer):
        return {}
    number = np.arange(n_neurons)
    expert = np.minimum(number // experts.width, experts.n_routed)
    return {"expert": expert, "expert_neuron": number - expert * experts.width}


def _write_baselines(writer: StepWriter, layer: int, record: WeightsRecord) -> None:
    table, n = tables.baselines, len(record.baselines)
    columns: Columns = {
        "model_id": [writer.model.model_id] * n,
        "layer": [layer] * n,
        **{
            name: [getattr(baseline, name) for baseline in record.baselines]
            for name in ("kind", "pair", "low", "high", "n_pairs", "standard_error")
        },
    }
    of_layer = (table.c.model_id == writer.model.model_id) & (table.c.layer == layer)
    writer.replace(table, columns, of_layer)


def write_classes(writer: StepWriter, layer: int, threshold: float) -> None:
    """Classify a layer's neurons at τ from their stored cosines (METHODS §2)."""
    first, end = writer.model.neuron_ids(layer)
    c = tables.cosines.c
    rows = writer.connection.execute(
        select(c.gate_in, c.gate_out, c.in_out)
        .where((c.neuron_id >= first) & (c.neuron_id < end))
        .order_by(c.neuron_id)
    ).all()
    cosines = np.array([tuple(row) for row in rows], dtype=np.float64)
    gate_in, gate_out, in_out = cosines.T
    gated = writer.model.gated
    ids = classify(gate_in if gated else None, gate_out if gated else None, in_out, threshold)
    columns = {
        "neuron_id": np.arange(first, end),
        "threshold": np.full(len(ids), threshold),
        "class_id": ids,
    }
    writer.replace_layer(tables.classes, layer, columns, threshold=threshold)
