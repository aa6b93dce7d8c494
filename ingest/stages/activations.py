"""The stage `activations`: what every neuron does on a dataset (METHODS §5)."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from sqlalchemy import select
from torch import Tensor

from ingest.activations.compiled import is_worth_compiling
from ingest.activations.peak_tokens import TokenisedTexts
from ingest.activations.summary import LayerSummary
from ingest.forward import batch_tokens, make_batches
from ingest.stages.activation_pass import ActivationPass, PassPart, divide_pass, merge_parts
from ingest.stages.expert_summaries import find_layer, join_summaries, list_numbers
from ingest.stages.interrupted_pass import InterruptedPass, locate_state
from ingest.stages.peaks import store_from_record
from ingest.stages.session import Session
from ingest.stages.shards import choose_shard_path, store_shard
from ingest.stages.texts import StoredTexts, store_texts
from ingest.stages.token_statistics import choose_listed_tokens
from neurondb import __version__
from neurondb.contracts.activations import ActivationsRecord
from neurondb.schema import tables
from neurondb.spelling import option
from neurondb.writing import datasets, indexes, models, peaks
from neurondb.writing.activations import keep_lean, write_activations, write_routing
from neurondb.writing.ledger import Step
from neurondb.writing.rows import transaction


def run_activations_stage(session: Session) -> None:
    """Run the model over the dataset and store the summary of every neuron."""
    stored = store_texts(session)
    settings = stored.settings | {
        "dtype": session.opened.dtype_name,
        "canonicalise": session.choices.canonicalise,
    }
    if session.request.controls:
        settings |= {"controls": True, "seed": session.request.seed}
    if session.request.lean:
        settings |= {"lean": True}
    if session.request.token_stats:
        settings |= {"token_stats": session.request.token_stats}
    steps = [Step("activations", n, settings, stored.dataset_id) for n in session.layers]
    if session.request.shard is not None:
        _run_shard(session, steps, stored)
        return
    pending = session.select_pending(steps)
    if pending:
        started = time.perf_counter()
        identity = identify_summary(session, settings, stored)
        with _summarising(session, [step.layer for step in pending], stored, identity) as summaries:
            seconds = (time.perf_counter() - started) / len(pending)
            _write(session, pending, summaries, stored, seconds)
    _show(session, stored)


def _show(session: Session, stored: StoredTexts) -> None:
    """Have neuron_overview show this dataset, and say so where it showed another."""
    model, d = session.ledger.model, tables.dataset_rows.c
    with transaction(session.engine) as connection:
        before = connection.execute(
            select(d.dataset_id, d.name)
            .join_from(
                tables.models, tables.dataset_rows, d.dataset_id == tables.models.c.dataset_id
            )
            .where(tables.models.c.model_id == model.model_id)
        ).first()
        # Not the corpus's: of two samples of one file the second is stored under another name.
        name = connection.scalar(select(d.name).where(d.dataset_id == stored.dataset_id))
    models.set_shown(session.engine, model, dataset_id=stored.dataset_id)
    if before is not None and before.dataset_id != stored.dataset_id:
        session.progress.note(
            f"neuron_overview and `find` now show {model.name} on {name}, no longer on "
            f"{before.name}"
        )


def identify_summary(
    session: Session, settings: Mapping[str, object], stored: StoredTexts
) -> dict[str, object]:
    """Return everything that a summary depends on: its identity in files."""
    short = session.architecture.short_context
    lengths = (len(ids) for ids in stored.corpus.tokenization.token_ids)
    # Once such texts shared batches with others: what was counted so is not gone on with.
    apart = {} if short is None or max(lengths) <= short else {"short_context": short}
    return {
        "fingerprint": session.fingerprint,
        "texts": stored.corpus.dataset.fingerprint,
        "settings": dict(settings),
        "preprocessing": session.preprocessing,
        "shard": session.request.shard,
        "batch_tokens": batch_tokens(session.worker_device),
        "device": session.worker_device.type,
        "version": __version__,
        **apart,
    }


def _run_shard(session: Session, steps: list[Step], stored: StoredTexts) -> None:
    identity = identify_summary(session, steps[0].settings, stored)
    path = choose_shard_path(session, identity)
    if path is None:
        return
    with (
        session.lock.released(session.progress.note),  # others' shards may be computed meanwhile
        _summarising(session, [step.layer for step in steps], stored, identity) as summaries,
    ):
        store_shard(session, path, identity, summaries)


@contextmanager
def _summarising(
    session: Session, layers: list[int], stored: StoredTexts, identity: Mapping[str, object]
) -> Iterator[dict[int, LayerSummary]]:
    """Yield the summaries of layers; where they are stored, forget how far the pass was."""
    parts = _divide(session, stored, identity)
    states = [InterruptedPass(part.state) for part in parts]
    if session.request.force:
        for state in states:
            state.forget()
    compute = _make_pass(session, layers, stored)
    numbers = list(list_numbers(session.architecture, layers))
    parts = [part.tell(numbers) for part in parts]
    stage = session.progress.stage(
        "activations",
        sum(part.n_tokens for part in parts),
        "tokens",
        done=sum(part.n_told for part in parts),
    )
    with stage as advance:
        summaries = merge_parts(found for _, found in session.compute(compute, parts, advance))
    _tell_nonfinite(session, summaries)
    yield summaries
    for state in states:
        state.forget()


def _divide(
    session: Session, stored: StoredTexts, identity: Mapping[str, object]
) -> list[PassPart]:
    """Return the parts of the pass over this run's texts, one a worker."""
    corpus, n_workers = stored.corpus, len(session.executor.devices)
    batches = list(
        make_batches(
            [corpus.tokenization.token_ids[i] for i in corpus.ordinals],
            torch.device("cpu"),
            batch_tokens(session.worker_device),
            corpus.ordinals,
            corpus.first_batch,
            short_context=session.architecture.short_context,
        )
    )
    n_parts = min(n_workers, len(batches))
    states: list[Path | None] = [None] * n_parts
    if session.executor.shares_files:
        states = [
            locate_state(session.engine, {**identity, **({"part": part} if n_parts > 1 else {})})
            for part in ((number, n_parts) for number in range(1, n_parts + 1))
        ]
    return divide_pass(batches, n_workers, states)


def _make_pass(session: Session, layers: list[int], stored: StoredTexts) -> ActivationPass:
    request, corpus = session.request, stored.corpus
    dataset, tokenization = corpus.dataset, corpus.tokenization
    listed = choose_listed_tokens(session, layers, corpus)
    n_tokens = sum(len(ids) for ids in tokenization.token_ids)
    n_activations = n_tokens * session.architecture.d_mlp * len(session.layers)
    return ActivationPass(
        session.opened,
        read_stored_signs(session, layers, torch.device("cpu")),
        tokenization.skip_bos,
        torch.tensor(dataset.label_of) if dataset.labels else None,
        len(dataset.labels),
        None if listed is None else listed.cpu(),
        request.controls,
        request.seed,
        is_worth_compiling(session.worker_device, n_activations),
    )


def read_stored_signs(
    session: Session, layers: list[int], device: torch.device | None = None
) -> dict[int, Tensor]:
    """Read some layers' canonical signs, which the weights stage stored, onto a device.

    None is the device of the session.
    """
    model, n = session.ledger.model, tables.neurons.c
    signs = {}
    with transaction(session.engine) as connection:
        for layer in layers:
            first, end = model.neuron_ids(layer)
            rows = connection.execute(
                select(n.sign)
                .where((n.neuron_id >= first) & (n.neuron_id < end))
                .order_by(n.neuron_id)
            )
            column: NDArray[np.float32] = np.array([row.sign for row in rows], dtype=np.float32)
            signs[layer] = torch.from_numpy(column).to(device or session.device)
    return signs


def _tell_nonfinite(session: Session, summaries: dict[int, LayerSummary]) -> None:
    counts = {number: s.totals.nonfinite for number, s in summaries.items()}
    n_tokens = sum(int(count.sum()) for count in counts.values())
    if n_tokens:
        numbers = [number for number, count in counts.items() if count.any()]
        layer = min(find_layer(session.architecture, number) for number in numbers)
        n_neurons = sum(int((counts[number] > 0).sum()) for number in numbers)
        session.progress.note(
            f"{n_tokens:,} activations of {n_neurons:,} neurons are NaN or infinite, the first in "
            f"layer {layer}; they are left out and counted in activation_stats.n_nonfinite"
            + (
                f"; try {option('dtype', 'bfloat16')} or float32"
                if session.dtype == torch.float16
                else ""
            )
        )


def _write(
    session: Session,
    steps: list[Step],
    summaries: dict[int, LayerSummary],
    stored: StoredTexts,
    seconds: float,
) -> None:
    with transaction(session.engine) as connection:
        text_ids = datasets.read_text_ids(connection, stored.dataset_id)
        labels = stored.corpus.dataset.labels
        label_ids = datasets.read_label_ids(connection, stored.dataset_id, labels)
    texts = TokenisedTexts.join(stored.corpus.tokenization.token_ids)
    indexes.prepare_load(session.engine, tables.peak_token_rows, peaks.STAGE, session.ledger.model)
    with session.progress.stage("writing activations", len(steps), "layers") as advance:
        for step in steps:
            record, routing = join_summaries(session.architecture, step.layer, summaries)
            if session.request.lean:
                record = keep_lean(record)
            with session.finishing(step, seconds) as writer:
                write_activations(
                    writer, step.layer, record, stored.dataset_id, text_ids, label_ids
                )
                write_routing(writer, step.layer, routing, stored.dataset_id)
            _write_peaks(session, step.layer, record, stored.dataset_id, texts)
            advance(1)


def _write_peaks(
    session: Session, layer: int, record: ActivationsRecord, dataset_id: int, texts: TokenisedTexts
) -> None:
    """Store a layer's peak tokens, a step of their own, so that the stage `peaks` need not."""
    peak_count = session.request.peak_count
    step = peaks.make_peaks_step(layer, peak_count, dataset_id)
    n_rows = store_from_record(session.ledger, step, record, texts, peak_count)
    session.rows[peaks.STAGE] += n_rows
    session.layers_with_peaks.add(layer)
