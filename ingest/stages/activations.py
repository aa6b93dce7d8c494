"""The stage `activations`: what every neuron does on a dataset (METHODS §5)."""

import time
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from sqlalchemy import select
from torch import Tensor
from transformers.activations import ACT2FN

from ingest.activations import HOOK_POST, HOOK_PRE, HOOK_PRE_LINEAR, SWISH, LayerBatch, LayerSummary
from ingest.forward import Batch, Forward, MLPActivations, batches
from ingest.session import Session
from ingest.texts import first_texts, read_dataset
from ingest.tokenizer import tokenize
from neurondb.errors import TextError
from neurondb.records import DatasetRecord, TokenizationRecord
from neurondb.schema import tables
from neurondb.writing import datasets, layers, models
from neurondb.writing.ledger import WHOLE_MODEL, Step
from neurondb.writing.transactions import transaction

BATCH_TOKENS = {"cpu": 2048, "cuda": 32_768}
"""Places of a batch, padding included, by kind of device."""


def activations_stage(session: Session) -> None:
    """Run the model over the dataset and store the summary of every neuron."""
    dataset, tokenization = _read_texts(session)
    dataset_id = datasets.store_dataset(session.engine, dataset)
    session.dataset_id = dataset_id
    settings: dict[str, object] = {
        "max_len": tokenization.max_len,
        "skip_bos": tokenization.skip_bos,
        "tokenizer": session.tokenizer.fingerprint,
    }
    for step in session.pending([Step("texts", WHOLE_MODEL, settings, dataset_id)]):
        with session.finishing(step) as writer:
            datasets.store_tokenization(writer, dataset_id, tokenization)
    settings |= {
        "dtype": str(session.dtype).removeprefix("torch."),
        "canonicalise": session.choices.canonicalise,
    }
    layer_steps = [Step("activations", n, settings, dataset_id) for n in session.layers]
    steps = session.pending(layer_steps)
    if steps:
        started = time.perf_counter()
        summaries = _summarise(session, [step.layer for step in steps], tokenization)
        seconds = (time.perf_counter() - started) / len(steps)
        _write(session, steps, summaries, dataset_id, seconds)
    models.show_dataset(session.engine, session.ledger.model, dataset_id)


def _read_texts(session: Session) -> tuple[DatasetRecord, TokenizationRecord]:
    request = session.request
    assert request.dataset is not None
    dataset = read_dataset(request.dataset, request.max_texts)
    context = session.architecture.context
    max_len = min(request.max_len, context) if context else request.max_len
    tokenization = tokenize(session.tokenizer, dataset, max_len, skip_bos=request.skip_bos)
    _check_ids(session, tokenization)
    if request.max_tokens is None:
        return dataset, tokenization
    lengths = [len(ids) for ids in tokenization.token_ids]
    n_texts = int(np.searchsorted(np.cumsum(lengths), request.max_tokens, side="right"))
    if n_texts == 0:
        raise TextError(
            f"the first text has {lengths[0]} tokens, more than --max-tokens {request.max_tokens}"
        )
    dataset = first_texts(dataset, n_texts)
    return dataset, tokenize(session.tokenizer, dataset, max_len, skip_bos=request.skip_bos)


def _check_ids(session: Session, tokenization: TokenizationRecord) -> None:
    largest = max(int(ids.max()) for ids in tokenization.token_ids if len(ids))
    if largest >= session.architecture.d_vocab:
        raise TextError(
            f"the tokenizer gives token {largest}, the model has only "
            f"{session.architecture.d_vocab}; the tokenizer does not belong to this model"
        )


def _summarise(
    session: Session, wanted: list[int], tokenization: TokenizationRecord
) -> dict[int, LayerSummary]:
    shape, device = session.architecture, session.device
    forward = Forward(session.located.path, shape, device, session.dtype)
    signs = _signs(session)
    activation = ACT2FN[shape.activation]
    summaries = {n: LayerSummary(shape.d_mlp, gated=shape.gated, device=device) for n in wanted}
    size = BATCH_TOKENS.get(device.type, 4096)
    n_tokens = sum(len(ids) for ids in tokenization.token_ids)
    with session.progress.stage("activations", n_tokens, "tokens") as advance:
        for batch in batches(tokenization.token_ids, device, size):
            counted = _counted(batch, skip_bos=tokenization.skip_bos)

            def consume(
                layer: int,
                found: MLPActivations,
                batch: Batch = batch,
                counted: Tensor = counted,
            ) -> None:
                if layer in summaries:
                    quantities = canonical_quantities(found, signs[layer], activation)
                    summaries[layer].add(
                        LayerBatch(quantities, counted, batch.ordinals, shape.gated)
                    )

            forward.run(batch, consume)
            advance(batch.n_tokens)
    return summaries


def canonical_quantities(
    found: MLPActivations, sign: Tensor, activation: Callable[[Tensor], Tensor]
) -> dict[int, Tensor]:
    """Return the quantities of METHODS §5 in float32, x_in and x_post times the sign."""
    in_, post = found.in_.float(), found.post.float()
    if found.gate is None:
        return {HOOK_PRE: in_, HOOK_POST: post}
    gate = found.gate.float()
    return {
        HOOK_POST: post * sign,
        HOOK_PRE_LINEAR: in_ * sign,
        HOOK_PRE: gate,
        SWISH: activation(gate),
    }


def _counted(batch: Batch, *, skip_bos: bool) -> Tensor:
    positions = torch.arange(batch.token_ids.shape[1], device=batch.token_ids.device)
    counted = positions < batch.lengths[:, None]
    return counted & (positions > 0) if skip_bos else counted


def _signs(session: Session) -> dict[int, Tensor]:
    """Read every layer's canonical signs, which the weights stage stored."""
    model, n = session.ledger.model, tables.neurons.c
    with transaction(session.engine) as connection:
        rows = connection.execute(
            select(n.layer, n.sign).where(n.model_id == model.model_id).order_by(n.layer, n.neuron)
        ).all()
    table: NDArray[np.float32] = np.array([row.sign for row in rows], dtype=np.float32)
    by_layer = torch.from_numpy(table).view(model.n_layers, model.d_mlp).to(session.device)
    return dict(enumerate(by_layer))


def _write(
    session: Session,
    steps: list[Step],
    summaries: dict[int, LayerSummary],
    dataset_id: int,
    seconds: float,
) -> None:
    with transaction(session.engine) as connection:
        text_ids = datasets.text_ids(connection, dataset_id)
    with session.progress.stage("writing activations", len(steps), "layers") as advance:
        for step in steps:
            record = summaries[step.layer].record()
            with session.finishing(step, seconds) as writer:
                layers.write_activations(writer, step.layer, record, dataset_id, text_ids)
            advance(1)
