"""The results of one layer → rows."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select

from neurondb.records import (
    ActivationsRecord,
    Examples,
    Moments,
    SignCase,
    TokenList,
    VocabularyRecord,
    WeightsRecord,
)
from neurondb.schema import tables
from neurondb.schema.codes import QUANTITY_COLUMNS
from neurondb.taxonomy import classify
from neurondb.writing.ledger import StepWriter

Columns = dict[str, Any]


def _ids(writer: StepWriter, layer: int) -> NDArray[np.int64]:
    return np.arange(*writer.model.neuron_ids(layer))


def _real(values: NDArray[Any] | None, like: NDArray[Any]) -> NDArray[np.float64]:
    # NaN is written as NULL
    return np.full(len(like), np.nan) if values is None else values.astype(np.float64)


def write_weights(writer: StepWriter, layer: int, record: WeightsRecord) -> None:
    """Write a layer's neurons, cosines and baselines."""
    ids = _ids(writer, layer)
    writer.replace_layer(
        tables.neurons,
        layer,
        {
            "neuron_id": ids,
            "model_id": np.full(len(ids), writer.model.model_id),
            "layer": np.full(len(ids), layer),
            "neuron": np.arange(len(ids)),
            "sign": record.sign,
            "gate_norm": _real(record.gate_norm, ids),
            "in_norm": _real(record.in_norm, ids),
            "out_norm": _real(record.out_norm, ids),
            "gate_bias": _real(record.gate_bias, ids),
            "in_bias": _real(record.in_bias, ids),
            "penalty": _real(record.penalty, ids),
        },
    )
    writer.replace_layer(
        tables.cosines,
        layer,
        {
            "neuron_id": ids,
            "gate_in": _real(record.gate_in, ids),
            "gate_out": _real(record.gate_out, ids),
            "in_out": _real(record.in_out, ids),
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
    ids = _ids(writer, layer)
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
        "token_id": _interleave([lists[code].token_ids for code in codes]),
        "cosine": _interleave([lists[code].cosine for code in codes]),
        "dot": _interleave([lists[code].dot for code in codes]),
    }
    there = columns["token_id"] >= 0  # a zero vector has no tokens
    return columns if there.all() else {name: c[there] for name, c in columns.items()}


def _interleave(arrays: list[NDArray[Any]]) -> NDArray[Any]:
    # one (n, k) array a list → rows in the order (neuron, list, rank), that of the primary key
    return np.stack(arrays, axis=1).ravel()


def write_activations(
    writer: StepWriter,
    layer: int,
    record: ActivationsRecord,
    dataset_id: int,
    text_ids: NDArray[np.int64],
) -> None:
    """Write a layer's activation statistics, sign cases and examples.

    `text_ids` maps the ordinals of the examples to ids.
    """
    ids = _ids(writer, layer)
    dataset = {"dataset_id": np.full(len(ids), dataset_id)}
    n_tokens = record.n_tokens
    writer.replace_layer(
        tables.activation_stats,
        layer,
        {
            "neuron_id": ids,
            **dataset,
            "n_tokens": np.full(len(ids), n_tokens),
            "freq": _real(record.gate_positive, ids) / n_tokens,
            **_moment_columns("pre", record.pre),
            **_moment_columns("post", record.post),
            "post_positive": record.post_positive / n_tokens,
        },
        dataset_id=dataset_id,
    )
    cases = _case_columns(ids, record.cases, dataset_id, n_tokens)
    writer.replace_layer(tables.sign_case_rows, layer, cases, dataset_id=dataset_id)
    examples = _example_columns(ids, record.examples, dataset_id, text_ids)
    writer.replace_layer(tables.example_rows, layer, examples, dataset_id=dataset_id)


def _moment_columns(quantity: str, moments: Moments) -> Columns:
    return {
        f"{quantity}_{name}": getattr(moments, name)
        for name in ("mean", "variance", "skewness", "kurtosis")
    }


def _case_columns(
    ids: NDArray[np.int64], cases: Mapping[int, SignCase], dataset_id: int, n_tokens: int
) -> Columns:
    codes = sorted(cases)
    count = _interleave([cases[code].count for code in codes])
    columns: Columns = {
        "neuron_id": np.repeat(ids, len(codes)),
        "dataset_id": np.full(len(count), dataset_id),
        "sign_case_id": np.tile(codes, len(ids)),
        "count": count,
        "freq": count / n_tokens,
    }
    for quantity, name in enumerate(QUANTITY_COLUMNS):
        for statistic in ("mean", "min", "max"):
            by_case = [getattr(cases[code], statistic).get(quantity) for code in codes]
            columns[f"{name}_{statistic}"] = _interleave([_real(v, ids) for v in by_case])
    return columns


def _example_columns(
    ids: NDArray[np.int64],
    lists: Mapping[int, Examples],
    dataset_id: int,
    text_ids: NDArray[np.int64],
) -> Columns:
    codes = sorted(lists)
    n, k = lists[codes[0]].ordinal.shape
    ordinal = _interleave([lists[code].ordinal for code in codes])
    there = ordinal >= 0
    return {
        "neuron_id": np.repeat(ids, len(codes) * k)[there],
        "dataset_id": np.full(int(there.sum()), dataset_id),
        "list_id": np.tile(np.repeat(codes, k), n)[there],
        "rank": np.tile(np.arange(k), n * len(codes))[there],
        "text_id": text_ids[ordinal[there]],
        "position": _interleave([lists[code].position for code in codes])[there],
        "value": _interleave([lists[code].value for code in codes])[there],
    }
