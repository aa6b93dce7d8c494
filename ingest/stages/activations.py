"""The stage `activations`: what every neuron does on a dataset (METHODS §5)."""

import time
from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from sqlalchemy import select
from torch import Tensor
from transformers.activations import ACT2FN

from ingest.activations.compiled import (
    PLAIN_KERNELS,
    Kernels,
    compile_kernels,
    is_worth_compiling,
    make_compiled_kernels,
)
from ingest.activations.native import NotCompiledError, load_native_kernels
from ingest.activations.peak_tokens import TokenisedTexts
from ingest.activations.reduction import GATED, UNGATED
from ingest.activations.summary import LayerSummary
from ingest.checkpoint.libraries import first_line
from ingest.forward import Forward, batch_tokens, make_batches
from ingest.stages.forward_share import ForwardShare
from ingest.stages.interrupted_pass import InterruptedPass
from ingest.stages.peaks import store_from_record
from ingest.stages.session import Session
from ingest.stages.shards import choose_shard_path, store_shard
from ingest.stages.summariser import Summariser
from ingest.stages.texts import StoredTexts, store_texts
from ingest.stages.token_statistics import choose_listed_tokens
from ingest.text.corpus import Corpus
from neurondb import __version__
from neurondb.contracts.activations import ActivationsRecord
from neurondb.schema import tables
from neurondb.spelling import option
from neurondb.writing import datasets, indexes, models, peaks
from neurondb.writing.activations import write_activations
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
    if session.request.token_stats:
        settings |= {"token_stats": session.request.token_stats}
    steps = [Step("activations", n, settings, stored.dataset_id) for n in session.layers]
    if session.request.shard is not None:
        _run_shard(session, steps, stored)
        return
    pending = session.select_pending(steps)
    if pending:
        started = time.perf_counter()
        interrupted = InterruptedPass(session.engine, identify_summary(session, settings, stored))
        summaries = _summarise(session, [step.layer for step in pending], stored, interrupted)
        seconds = (time.perf_counter() - started) / len(pending)
        _write(session, pending, summaries, stored, seconds)
        interrupted.forget()
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
    return {
        "fingerprint": session.fingerprint,
        "texts": stored.corpus.dataset.fingerprint,
        "settings": dict(settings),
        "preprocessing": session.preprocessing,
        "shard": session.request.shard,
        "batch_tokens": batch_tokens(session.opened.device),
        "device": session.opened.device.type,
        "version": __version__,
    }


def _run_shard(session: Session, steps: list[Step], stored: StoredTexts) -> None:
    identity = identify_summary(session, steps[0].settings, stored)
    path = choose_shard_path(session, identity)
    if path is None:
        return
    interrupted = InterruptedPass(session.engine, identity)
    summaries = _summarise(session, [step.layer for step in steps], stored, interrupted)
    store_shard(session, path, identity, summaries)
    interrupted.forget()


def _summarise(
    session: Session, layers: list[int], stored: StoredTexts, interrupted: InterruptedPass
) -> dict[int, LayerSummary]:
    if session.request.force:
        interrupted.forget()
    device, corpus = session.opened.device, stored.corpus
    token_ids = [corpus.tokenization.token_ids[i] for i in corpus.ordinals]
    listed = choose_listed_tokens(session, layers, corpus)
    n_done, summaries = interrupted.load(layers, session.device) or (
        0,
        _empty(session, layers, stored, listed),
    )
    packed = list(
        make_batches(
            token_ids,
            torch.device("cpu"),
            batch_tokens(device),
            corpus.ordinals,
            corpus.first_batch,
        )
    )
    lengths = [batch.n_tokens for batch in packed]
    # Loaded first: meanwhile the sums are compiled.
    forward = Forward(session.checkpoint, device, session.dtype)
    summariser = Summariser(
        summaries,
        read_stored_signs(session, layers),
        ACT2FN[session.architecture.activation],
        skip_bos=corpus.tokenization.skip_bos,
        labels=torch.tensor(corpus.dataset.label_of) if corpus.dataset.labels else None,
        listed=listed,
        kernels=_kernels(session, corpus) if packed[n_done:] else PLAIN_KERNELS,
        share=(share := ForwardShare(device)),
    )
    stage = session.progress.stage(
        "activations", sum(lengths), "tokens", done=sum(lengths[:n_done])
    )
    with stage as advance:
        for number, batch in enumerate(packed[n_done:], start=n_done + 1):
            with share.time_batch():
                summariser.run(forward, batch.to(device))
            if interrupted.is_due:
                summariser.finish(forward)
                interrupted.save(number, summaries)
            advance(batch.n_tokens, str(share))
        summariser.finish(forward)
    _tell_nonfinite(session, summaries)
    return summaries


def _kernels(session: Session, corpus: Corpus) -> Kernels:
    """Return compiled functions where that pays and can be done, else the plain ones.

    Their sums differ in the last bits. What the whole pass over the whole dataset comes to decides,
    whatever is left to do of it, so that shards and resumed passes compute with the same.
    """
    shape, device = session.architecture, session.device
    if device.type == "cpu":
        try:
            return load_native_kernels()
        except NotCompiledError as error:
            return _not_compiled(session, str(error))
    n_tokens = sum(len(ids) for ids in corpus.tokenization.token_ids)
    n_activations = n_tokens * shape.d_mlp * len(session.layers)
    if not is_worth_compiling(device, n_activations):
        return PLAIN_KERNELS
    kernels = make_compiled_kernels()
    activation, kind = ACT2FN[shape.activation], GATED if shape.gated else UNGATED
    try:
        with session.progress.stage("compiling sums", len(kernels), "functions") as advance:
            for _ in compile_kernels(kernels, kind, activation, shape.d_mlp, device, session.dtype):
                advance(1)
    # No compiler, one that is too old, no room for its files: torch raises a dozen types for it.
    except Exception as error:
        reason = first_line(error)
        return _not_compiled(session, reason)
    return kernels


def _not_compiled(session: Session, reason: str) -> Kernels:
    session.progress.note(f"not compiled, which is slower but gives the same: {reason}")
    return PLAIN_KERNELS


def _empty(
    session: Session, layers: list[int], stored: StoredTexts, listed: Tensor | None
) -> dict[int, LayerSummary]:
    shape, request = session.architecture, session.request
    return {
        layer: LayerSummary.empty(
            shape.d_mlp,
            gated=shape.gated,
            device=session.device,
            layer=layer,
            n_labels=len(stored.corpus.dataset.labels),
            controls=request.controls,
            seed=request.seed,
            listed=listed,
        )
        for layer in layers
    }


def read_stored_signs(session: Session, layers: list[int]) -> dict[int, Tensor]:
    """Read some layers' canonical signs, which the weights stage stored."""
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
            signs[layer] = torch.from_numpy(column).to(session.device)
    return signs


def _tell_nonfinite(session: Session, summaries: dict[int, LayerSummary]) -> None:
    counts = {layer: s.totals.nonfinite for layer, s in summaries.items()}
    n_tokens = sum(int(count.sum()) for count in counts.values())
    if n_tokens:
        layers = [layer for layer, count in counts.items() if count.any()]
        n_neurons = sum(int((counts[layer] > 0).sum()) for layer in layers)
        session.progress.note(
            f"{n_tokens:,} activations of {n_neurons:,} neurons are NaN or infinite, the first in "
            f"layer {layers[0]}; they are left out and counted in activation_stats.n_nonfinite"
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
            record = summaries[step.layer].record()
            with session.finishing(step, seconds) as writer:
                write_activations(
                    writer, step.layer, record, stored.dataset_id, text_ids, label_ids
                )
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
