"""Clamp sweeps and concept runs → rows; each is there whole or not at all, and once."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from sqlalchemy import Engine, select

from neurondb.contracts.clamp import ClampRecord, NextTokens
from neurondb.contracts.concept import (
    CONTEXT,
    OTHER,
    PROMPT,
    SPELLING,
    ConceptNeuron,
    ConceptRecord,
)
from neurondb.schema import tables
from neurondb.writing.rows import insert_one, transaction
from neurondb.writing.run_rows import Rows, describe_origin, forget_same_request, insert_rows


def store_concept(engine: Engine, record: ConceptRecord) -> int:
    """Write a run, in place of one that was asked for in the same way; return its id.

    Raises:
        DatabaseError: when the database cannot be written.
    """
    parts = (
        tables.concept_points,
        tables.concept_candidates,
        tables.concept_tokens,
        tables.concept_texts,
    )
    with transaction(engine) as connection:
        forget_same_request(connection, tables.concept_runs, parts, record.origin.request)
        run_id = insert_one(connection, tables.concept_runs, _describe_run(record))
        for table, rows in (
            (tables.concept_texts, list(_list_texts(record))),
            (tables.concept_tokens, _list_tokens(record)),
            (tables.concept_candidates, _rank_neurons(record.neurons)),
            (tables.concept_points, list(_list_points(record))),
        ):
            insert_rows(connection, table, run_id, rows)
    return run_id


def _describe_run(record: ConceptRecord) -> dict[str, Any]:
    asked = record.settings
    by_scale = asked.low is None
    return {
        **describe_origin(record.origin),
        "concept": record.concept,
        "hook": record.hook,
        "n_candidates": asked.n_candidates,
        "n_random": sum(one.match is None for one in record.neurons),
        "seed": asked.seed,
        "scale": asked.scale if by_scale else None,
        "low": asked.low,
        "high": asked.high,
        "clean_log_probability": float(record.clean.mean()),
        "clean_probability": float(np.exp(record.clean).mean()),
        "seconds": record.seconds,
    }


def _list_texts(record: ConceptRecord) -> Iterator[dict[str, Any]]:
    asked = record.settings
    spellings = [one.text for one in record.spellings]
    texts = {SPELLING: spellings, PROMPT: asked.prompts, CONTEXT: asked.contexts}
    for kind, of_kind in (*texts.items(), (OTHER, asked.others)):
        for place, text in enumerate(of_kind):
            known = float(record.clean[place]) if kind == PROMPT else None
            yield {"kind": kind, "place": place, "text": text, "log_probability": known}


def _list_tokens(record: ConceptRecord) -> Rows:
    return [
        {"spelling": i, "place": place, "token_id": token_id}
        for i, spelling in enumerate(record.spellings)
        for place, token_id in enumerate(spelling.token_ids)
    ]


def _rank_neurons(neurons: Sequence[ConceptNeuron]) -> Rows:
    """Return a row a neuron: candidates and random ones are ranked apart, by change, then by id."""
    order = sorted(neurons, key=lambda one: (-one.change, one.neuron_id))
    random = np.array([one.change for one in order if one.match is None])
    seen = {True: 0, False: 0}
    rows: Rows = []
    for one in order:
        is_random = one.match is None
        match = dict.fromkeys(("vector", "direction", "cosine"))
        rows.append(
            {
                **(match if one.match is None else one.match._asdict()),
                "neuron_id": one.neuron_id,
                "random": is_random,
                "low": one.ends[0],
                "high": one.ends[1],
                "low_change": one.changes[0],
                "high_change": one.changes[1],
                "low_probability": one.probabilities[0],
                "high_probability": one.probabilities[1],
                "low_other_change": one.other_changes[0],
                "high_other_change": one.other_changes[1],
                "change": one.change,
                "rank": seen[is_random],
                "stronger": None if is_random else int((random >= one.change).sum()),
            }
        )
        seen[is_random] += 1
    return rows


def _list_points(record: ConceptRecord) -> Iterator[dict[str, Any]]:
    for sweep in record.sweeps:
        points = zip(sweep.values, sweep.changes, sweep.probabilities, strict=True)
        for step, (value, change, probability) in enumerate(points):
            yield {
                "neuron_id": sweep.neuron_id,
                "step": step,
                "value": float(value),
                "change": float(change),
                "probability": float(probability),
            }


def store_clamp(engine: Engine, record: ClampRecord) -> int:
    """Write a sweep, unless one that was asked for in the same way is there; return its id.

    Raises:
        DatabaseError: when the database cannot be written.
    """
    r = tables.clamp_runs
    with transaction(engine) as connection:
        same = select(r.c.run_id).where(r.c.request == record.origin.request)
        found = connection.scalar(same)
        if found is not None:
            return int(found)
        names = ("prompt", "chat", "position", "sign")
        asked = {name: getattr(record.request, name) for name in names}
        result = {"hook": record.result.hook, "n_prompt": record.result.n_prompt}
        run_id = insert_one(connection, r, describe_origin(record.origin) | asked | result)
        neurons = [
            {"neuron_id": neuron_id, "clean_value": float(value)}
            for neuron_id, value in zip(record.neuron_ids, record.result.clean_values, strict=True)
        ]
        insert_rows(connection, tables.clamp_run_neurons, run_id, neurons)
        insert_rows(connection, tables.clamp_results, run_id, list(_list_results(record)))
    return run_id


def _list_results(record: ClampRecord) -> Iterator[dict[str, Any]]:
    sweep = record.result
    steps: list[tuple[float | None, NextTokens, int]] = [(None, sweep.clean, 0)]
    steps += [(float(value), sweep.clamped, row) for row, value in enumerate(sweep.values)]
    for step, (value, found, row) in enumerate(steps):
        for token_id in dict.fromkeys(sweep.target_ids):
            column = sweep.target_ids.index(token_id)
            yield {
                "step": step,
                "token_id": token_id,
                "value": value,
                "probability": float(found.probability[row, column]),
                "rank": int(found.rank[row, column]),
            }
