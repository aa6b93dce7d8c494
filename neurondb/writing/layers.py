"""What the weights of one layer are → rows."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select

from neurondb.records import TokenList, VocabularyRecord, WeightsRecord
from neurondb.schema import tables
from neurondb.taxonomy import classify
from neurondb.writing.columns import Columns, interleave, neuron_ids, real
from neurondb.writing.ledger import StepWriter


def write_weights(writer: StepWriter, layer: int, record: WeightsRecord) -> None:
    """Write a layer's neurons, cosines and baselines."""
    ids = neuron_ids(writer, layer)
    writer.replace_layer(
        tables.neurons,
        layer,
        {
            "neuron_id": ids,
            "model_id": np.full(len(ids), writer.model.model_id),
            "layer": np.full(len(ids), layer),
            "neuron": np.arange(len(ids)),
            "sign": record.sign,
            "gate_norm": real(record.gate_norm, ids),
            "in_norm": real(record.in_norm, ids),
            "out_norm": real(record.out_norm, ids),
            "gate_bias": real(record.gate_bias, ids),
            "in_bias": real(record.in_bias, ids),
            "penalty": real(record.penalty, ids),
        },
    )
    writer.replace_layer(
        tables.cosines,
        layer,
        {
            "neuron_id": ids,
            "gate_in": real(record.gate_in, ids),
            "gate_out": real(record.gate_out, ids),
            "in_out": real(record.in_out, ids),
        },
    )
    _write_baselines(writer, layer, record)


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
    stored = np.array([tuple(row) for row in rows], dtype=np.float64)
    gate_in, gate_out, in_out = stored.T
    gated = writer.model.gated
    ids = classify(gate_in if gated else None, gate_out if gated else None, in_out, threshold)
    columns = {
        "neuron_id": np.arange(first, end),
        "threshold": np.full(len(ids), threshold),
        "class_id": ids,
    }
    writer.replace_layer(tables.classes, layer, columns, threshold=threshold)


def write_vocabulary(writer: StepWriter, layer: int, record: VocabularyRecord) -> None:
    """Write a layer's token lists, moments and LM-head tokens."""
    ids = neuron_ids(writer, layer)
    writer.replace_layer(tables.top_token_rows, layer, _token_columns(ids, record.lists))
    vectors = sorted(record.moments)
    columns: Columns = {
        "neuron_id": np.repeat(ids, len(vectors)),
        "vector_id": np.tile(vectors, len(ids)),
    }
    for name in ("mean", "variance", "skewness", "kurtosis", "dot_variance"):
        by_vector = [getattr(record.moments[vector], name) for vector in vectors]
        columns[name] = np.stack(by_vector, axis=1).ravel().astype(np.float64)
    writer.replace_layer(tables.vocab_stat_rows, layer, columns)
    head = record.lm_head
    there = head.token_ids >= 0  # a zero vector has no token
    writer.replace_layer(
        tables.lm_head_tokens,
        layer,
        {
            "neuron_id": ids[there],
            "token_id": head.token_ids[there],
            "probability": head.probability[there],
            "normalised": head.normalised[there],
        },
    )


def _token_columns(ids: NDArray[np.int64], lists: Mapping[int, TokenList]) -> Columns:
    codes = sorted(lists)
    n, k = lists[codes[0]].token_ids.shape
    columns: Columns = {
        "neuron_id": np.repeat(ids, len(codes) * k),
        "list_id": np.tile(np.repeat(codes, k), n),
        "rank": np.tile(np.arange(k), n * len(codes)),
        "token_id": interleave([lists[code].token_ids for code in codes]),
        "cosine": interleave([lists[code].cosine for code in codes]),
        "dot": interleave([lists[code].dot for code in codes]),
    }
    there = columns["token_id"] >= 0  # a zero vector has no tokens
    return columns if there.all() else {name: c[there] for name, c in columns.items()}
