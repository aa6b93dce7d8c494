"""The stage `traces`: values around the peaks of the stored examples, token by token.

A second pass, over only the texts that occur among the examples, so that pages can colour
tokens without a model.
"""

import time
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from sqlalchemy import Connection, select

from ingest.stages.activations import read_stored_signs
from ingest.stages.session import Session
from ingest.stages.texts import StoredTexts, store_texts
from ingest.stages.trace_pass import Peaks, TracePart, TracePass, divide_texts, join_windows
from neurondb.contracts.activations import TracesRecord
from neurondb.errors import IngestError
from neurondb.find import find
from neurondb.schema import tables
from neurondb.spelling import option
from neurondb.writing import datasets
from neurondb.writing.ledger import Step
from neurondb.writing.rows import transaction
from neurondb.writing.traces import write_traces

PEAKS_AT_ONCE = 2_000_000
"""Peaks whose windows are held in memory: layers go through together as far as this lasts."""


def run_traces_stage(session: Session) -> None:
    """Store the window around each peak of the stored examples."""
    stored = store_texts(session)
    request = session.request
    settings = stored.settings | {
        "dtype": session.opened.dtype_name,
        "window": list(request.window),
    }
    name = "traces" if request.where is None else f"traces {request.where}"
    steps = [Step(name, layer, settings, stored.dataset_id) for layer in session.layers]
    pending = session.select_pending(steps)
    if not pending:
        return
    neuron_ids = None if request.where is None else _neurons_where(session, request.where)
    with transaction(session.engine) as connection:
        _require_examples(session, connection, stored.dataset_id)
        ordinals = _ordinals(connection, stored.dataset_id)
        peaks = {
            step.layer: _peaks(session, connection, step.layer, stored, ordinals, neuron_ids)
            for step in pending
        }
    signs = read_stored_signs(session, list(peaks), torch.device("cpu"))
    compute = TracePass(session.opened, signs, session.request.window)
    while pending:
        fitting = _take_fitting(pending, peaks)
        pending = pending[len(fitting) :]
        started = time.perf_counter()
        chosen = {step.layer: peaks[step.layer] for step in fitting}
        records = _trace_layers(session, compute, chosen, stored)
        seconds = (time.perf_counter() - started) / len(fitting)
        _write(session, fitting, records, stored, neuron_ids, seconds)


def _take_fitting(steps: Sequence[Step], peaks: dict[int, Peaks]) -> list[Step]:
    """Return the first steps whose windows fit in memory together, at least one."""
    n_peaks = np.cumsum([len(peaks[step.layer].neuron) for step in steps])
    return list(steps[: max(1, int(np.searchsorted(n_peaks, PEAKS_AT_ONCE, side="right")))])


def _neurons_where(session: Session, expression: str) -> NDArray[np.int64]:
    """Return the ids of this model's neurons that a `find` expression describes."""
    model = session.ledger.model
    rows = find(session.engine, expression, columns=["neuron_id"]).rows
    ids = np.sort(np.array([row[0] for row in rows], dtype=np.int64))
    first, end = model.first_neuron_id, model.neuron_ids(model.n_layers - 1)[1]
    ids = ids[(ids >= first) & (ids < end)]
    if len(ids) == 0:
        raise IngestError(f"{option('where')} {expression!r} fits no neuron of {model.name}")
    return ids


def _require_examples(session: Session, connection: Connection, dataset_id: int) -> None:
    model, step = session.ledger.model, tables.ingest_steps.c
    rows = connection.execute(
        select(step.layer).where(
            step.model_id == model.model_id,
            step.stage == "activations",
            step.dataset_id == dataset_id,
        )
    )
    missing = sorted(set(session.layers) - {row.layer for row in rows})
    if missing:
        raise IngestError(
            f"{model.name}: layer {missing[0]} has no examples on this dataset to trace; "
            f"run the stage activations first ({option('stages', 'activations,traces')})"
        )


def _ordinals(connection: Connection, dataset_id: int) -> dict[int, int]:
    """Return the ordinals of a dataset's texts by their ids."""
    ids = datasets.read_text_ids(connection, dataset_id).tolist()
    return {text_id: ordinal for ordinal, text_id in enumerate(ids)}


def _peaks(
    session: Session,
    connection: Connection,
    layer: int,
    stored: StoredTexts,
    ordinals: dict[int, int],
    neuron_ids: NDArray[np.int64] | None,
) -> Peaks:
    first, end = session.ledger.model.neuron_ids(layer)
    parts = []
    for table in (tables.example_rows, tables.control_example_rows):
        c = table.c
        rows = connection.execute(
            select(c.neuron_id, c.text_id, c.position).where(
                c.neuron_id >= first, c.neuron_id < end, c.dataset_id == stored.dataset_id
            )
        )
        parts.append(np.array([tuple(row) for row in rows], dtype=np.int64).reshape(-1, 3))
    examples = np.concatenate(parts)
    if neuron_ids is not None:
        examples = examples[np.isin(examples[:, 0], neuron_ids)]
    examples[:, 1] = [ordinals[text_id] for text_id in examples[:, 1].tolist()]
    neuron, ordinal, position = np.unique(examples, axis=0).T
    order = np.lexsort((neuron, position, ordinal))
    return Peaks(ordinal[order], position[order], neuron[order] - first)


def _trace_layers(
    session: Session, compute: TracePass, peaks: dict[int, Peaks], stored: StoredTexts
) -> dict[int, TracesRecord]:
    token_ids = stored.corpus.tokenization.token_ids
    ordinals = np.unique(np.concatenate([p.ordinal for p in peaks.values()]))
    if len(ordinals) == 0:
        return {layer: _record([]) for layer in peaks}
    whole = TracePart([token_ids[ordinal] for ordinal in ordinals], ordinals, peaks)
    n_workers = len(session.executor.devices)
    parts = divide_texts(whole, session.opened, session.worker_device, n_workers)
    with session.progress.stage("traces", whole.n_tokens, "tokens") as advance:
        windows = join_windows(found for _, found in session.compute(compute, parts, advance))
    return {layer: _record(windows.get(layer, [])) for layer in peaks}


def _record(windows_by_batch: list[tuple[NDArray[np.int64], NDArray[np.float16]]]) -> TracesRecord:
    """Return the traces of a layer in the order of their rows."""
    if not windows_by_batch:
        empty = np.zeros(0, dtype=np.int64)
        return TracesRecord(empty, empty, empty, empty, [])
    neuron, ordinal, position, start, n_tokens = np.concatenate(
        [a for a, _ in windows_by_batch], axis=1
    )
    windows = np.concatenate([w for _, w in windows_by_batch])
    order = np.lexsort((position, ordinal, neuron))
    values = [windows[i, :, : n_tokens[i]] for i in order]
    return TracesRecord(neuron[order], ordinal[order], position[order], start[order], values)


def _write(
    session: Session,
    steps: list[Step],
    records: dict[int, TracesRecord],
    stored: StoredTexts,
    neuron_ids: NDArray[np.int64] | None,
    seconds: float,
) -> None:
    with transaction(session.engine) as connection:
        text_ids = datasets.read_text_ids(connection, stored.dataset_id)
    with session.progress.stage("writing traces", len(steps), "layers") as advance:
        for step in steps:
            neurons = None
            if neuron_ids is not None:
                first, end = session.ledger.model.neuron_ids(step.layer)
                neurons = neuron_ids[(neuron_ids >= first) & (neuron_ids < end)] - first
            with session.finishing(step, seconds) as writer:
                write_traces(
                    writer, step.layer, records[step.layer], stored.dataset_id, text_ids, neurons
                )
            advance(1)
