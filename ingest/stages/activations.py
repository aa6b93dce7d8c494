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
from ingest.forward import Batch, Consumer, Forward, MLPActivations, batches
from ingest.session import Session
from ingest.stages.partial import PartialPass
from neurondb import __version__
from neurondb.records import DatasetRecord, TokenizationRecord
from neurondb.schema import tables
from neurondb.writing import datasets, layers, models
from neurondb.writing.ledger import WHOLE_MODEL, Step
from neurondb.writing.transactions import transaction

BATCH_TOKENS = {"cpu": 2048, "cuda": 32_768}
"""Places of a batch, padding included, by kind of device."""


def activations_stage(session: Session) -> None:
    """Run the model over the dataset and store the summary of every neuron."""
    assert session.corpus is not None
    assert session.tokenizer is not None
    dataset, tokenization = session.corpus.dataset, session.corpus.tokenization
    if tokenization.n_truncated:
        session.progress.note(
            f"{tokenization.n_truncated} of {len(dataset.texts)} texts cut at "
            f"{tokenization.max_len} tokens (--max-len, and the model's context)"
        )
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
        done = PartialPass(session.engine, _identity(session, steps, dataset))
        summaries = _summarise(session, [step.layer for step in steps], tokenization, done)
        seconds = (time.perf_counter() - started) / len(steps)
        _write(session, steps, summaries, dataset_id, seconds)
        done.forget()
    models.show(session.engine, session.ledger.model, dataset_id=dataset_id)


def _identity(session: Session, steps: list[Step], dataset: DatasetRecord) -> dict[str, object]:
    return {
        "fingerprint": session.checkpoint.fingerprint(),
        "texts": dataset.fingerprint,
        "settings": steps[0].settings,
        "device": session.device.type,
        "version": __version__,
    }


def _summarise(
    session: Session, wanted: list[int], tokenization: TokenizationRecord, partial: PartialPass
) -> dict[int, LayerSummary]:
    shape, device = session.architecture, session.device
    forward = Forward(session.located.path, shape, device, session.dtype)
    if session.request.force:
        partial.forget()
    n_done, summaries = partial.load(wanted, device) or (
        0,
        {n: LayerSummary(shape.d_mlp, gated=shape.gated, device=device) for n in wanted},
    )
    summarise = Summariser(summaries, _signs(session), ACT2FN[shape.activation], gated=shape.gated)
    size = BATCH_TOKENS.get(device.type, BATCH_TOKENS["cpu"])
    n_tokens = sum(len(ids) for ids in tokenization.token_ids)
    with session.progress.stage("activations", n_tokens, "tokens") as advance:
        for number, batch in enumerate(batches(tokenization.token_ids, device, size), start=1):
            if number > n_done:
                counted = _counted(batch, skip_bos=tokenization.skip_bos)
                forward.run(batch, summarise.consumer(batch, counted))
                partial.save(number, summaries)
            advance(batch.n_tokens)
    return summaries


class Summariser:
    """Adds what the layers' MLPs did on a batch to the layers' summaries."""

    def __init__(
        self,
        summaries: dict[int, LayerSummary],
        signs: dict[int, Tensor],
        activation: Callable[[Tensor], Tensor],
        *,
        gated: bool,
    ) -> None:
        self._summaries = summaries
        self._signs = signs
        self._activation = activation
        self._gated = gated

    def consumer(self, batch: Batch, counted: Tensor) -> Consumer:
        """Return what a forward pass over this batch is to call."""

        def consume(layer: int, found: MLPActivations) -> None:
            if layer in self._summaries:
                quantities = canonical_quantities(found, self._signs[layer], self._activation)
                self._summaries[layer].add(
                    LayerBatch(quantities, counted, batch.ordinals, self._gated)
                )

        return consume


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
