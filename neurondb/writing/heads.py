"""Neurons and attention heads → rows: a run whole or not at all, one a model."""

from dataclasses import asdict
from typing import Any, Final

import numpy as np
from sqlalchemy import Connection, Engine, insert, select

from neurondb.contracts.heads import HeadAblation, HeadsRecord
from neurondb.schema import tables
from neurondb.writing.models import find_model
from neurondb.writing.rows import insert_columns, insert_one, transaction
from neurondb.writing.run_rows import describe_origin

PARTS: Final = (
    tables.head_ablation_tokens,
    tables.head_ablation_cases,
    tables.head_ablations,
    tables.head_score_counts,
    tables.attention_heads,
)
KEPT: Final = ("activation", "bos_clean", "bos_ablated", "norm_clean", "norm_ablated")
"""Columns of `head_ablation_tokens`, in the order of `HeadAblation.kept`."""


def store_heads(engine: Engine, record: HeadsRecord) -> int:
    """Write a run in place of the model's former one; return its id.

    Raises:
        DatabaseError: when the database cannot be written.
    """
    with transaction(engine) as connection:
        forget_heads(connection, record.origin.model_id)
        run_id = insert_one(connection, tables.head_runs, _describe(record))
        heads: dict[str, Any] = vars(record.heads)
        n = len(record.heads.layer)
        insert_columns(connection, tables.attention_heads, {"run_id": np.full(n, run_id), **heads})
        for counts in record.counts:
            filled = np.flatnonzero(counts.n_neurons + counts.n_random)
            columns = {
                name: values[filled]
                for name, values in vars(counts).items()
                if name != "standardised"
            }
            fixed = {"run_id": [run_id] * len(filled)}
            fixed["standardised"] = [counts.standardised] * len(filled)
            insert_columns(
                connection, tables.head_score_counts, {**fixed, "bin": filled, **columns}
            )
        insert_columns(connection, tables.neuron_head_rows, _list_score_columns(record))
        _store_ablated_pairs(connection, record)
        for ablation in record.ablations:
            _store_ablation(connection, run_id, ablation)
    return run_id


def forget_heads(connection: Connection, model_id: int) -> None:
    """Delete a model's run and all that came of it."""
    runs, rows = tables.head_runs, tables.neuron_head_rows
    of_model = select(runs.c.run_id).where(runs.c.model_id == model_id)
    for table in PARTS:
        connection.execute(table.delete().where(table.c.run_id.in_(of_model)))
    connection.execute(runs.delete().where(runs.c.model_id == model_id))
    model = find_model(connection, model_id)
    first, end = model.neuron_ids(0)[0], model.neuron_ids(model.n_layers)[0]
    of_neurons = (rows.c.neuron_id >= first) & (rows.c.neuron_id < end)
    connection.execute(rows.delete().where(of_neurons))


def _describe(record: HeadsRecord) -> dict[str, Any]:
    asked, heads = record.request, record.heads
    measured = ~np.isnan(heads.norm_ratio)
    ratio = float(np.median(heads.norm_ratio[measured])) if measured.any() else None
    none = dict.fromkeys(("dataset_id", "n_texts", "n_tokens", "max_len"))
    return {
        **describe_origin(record.origin),
        "bos_token_id": record.bos_token_id,
        "per_neuron": asked.per_neuron,
        "per_head": asked.per_head,
        "n_random": asked.n_random,
        "seed": asked.seed,
        "n_pairs": record.n_pairs,
        "baseline_std": record.baseline_std,
        "ignored": "; ".join(record.ignored) or None,
        **(none if record.texts is None else asdict(record.texts)),
        "norm_ratio": ratio,
        "seconds": record.seconds,
    }


def _list_score_columns(record: HeadsRecord) -> dict[str, Any]:
    columns: dict[str, Any] = dict(vars(record.scores))
    for name in ("rank", "head_rank"):  # integers, of which NaN would make real numbers
        columns[name] = [None if value != value else int(value) for value in columns[name].tolist()]
    return columns


def _store_ablated_pairs(connection: Connection, record: HeadsRecord) -> None:
    """Write the scores of pairs that were asked for and are among no strongest ones."""
    scores = record.scores
    kept = set(
        zip(
            scores.neuron_id.tolist(),
            scores.head_layer.tolist(),
            scores.head.tolist(),
            strict=True,
        )
    )
    for one in record.ablations:
        key = (one.neuron_id, one.head_layer, one.head)
        if key not in kept:
            row = dict(zip(("neuron_id", "head_layer", "head"), key, strict=True))
            values = {**row, "score": one.score, "standardised": one.standardised}
            connection.execute(insert(tables.neuron_head_rows), values)


def _store_ablation(connection: Connection, run_id: int, ablation: HeadAblation) -> None:
    values = {k: v for k, v in vars(ablation).items() if k not in ("means", "kept", "cases")}
    means = _null_unknown(ablation.means)
    insert_one(connection, tables.head_ablations, {"run_id": run_id, **values, **means})
    n = len(ablation.kept)
    key = {name: values[name] for name in ("neuron_id", "head_layer", "head")}
    for case in ablation.cases:
        row = {"run_id": run_id, **key, "case_id": case.case, "n": case.n}
        connection.execute(insert(tables.head_ablation_cases), row | _null_unknown(case.means))
    columns: dict[str, Any] = {
        name: np.full(n, v) for name, v in ({"run_id": run_id} | key).items()
    }
    columns["place"] = np.arange(n)
    columns |= {name: ablation.kept[:, i] for i, name in enumerate(KEPT)}
    insert_columns(connection, tables.head_ablation_tokens, columns)


def _null_unknown(means: dict[str, float]) -> dict[str, float | None]:
    return {name: None if mean != mean else mean for name, mean in means.items()}
