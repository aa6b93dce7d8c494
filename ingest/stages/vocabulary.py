"""The stage `vocab`: what tokens every neuron reads and writes (METHODS §4)."""

import time
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from ingest.stages.background_writer import write_in_background
from ingest.stages.lm_head_sides import add_missing_side, describe_sides
from ingest.stages.properties import store_property_effects
from ingest.stages.session import Session
from ingest.vocabulary import Projector
from ingest.weights.null_space import compute_null_share, find_null_directions
from ingest.weights.preprocess import (
    preprocess_neurons,
    preprocess_unembedding,
    read_float_embedding,
)
from neurondb.contracts.ingest import choose_top_k
from neurondb.contracts.model import Token
from neurondb.contracts.vocabulary import VocabularyRecord
from neurondb.schema import tables
from neurondb.writing import datasets, indexes, models
from neurondb.writing.ledger import WHOLE_MODEL, Step
from neurondb.writing.vocabulary import write_vocabulary


def run_vocabulary_stage(session: Session) -> None:
    """Store the model's vocabulary and project every layer onto it."""
    top_k = choose_top_k(session.request)
    settings = session.vocabulary_settings | {"k": top_k} | describe_sides(session)
    layers = [Step("vocab", n, settings) for n in session.layers]
    add_missing_side(session, layers)
    steps = session.select_pending(layers)
    _store_tokens(session)  # once it is known that no list was made with other choices
    projector = _projector(session, top_k) if steps else None
    if projector is not None:
        _store_projections(session, steps, projector)
    store_property_effects(session, lambda: _tokens(session), projector)


def _store_projections(session: Session, steps: list[Step], projector: Projector) -> None:
    indexes.prepare_load(session.engine, tables.top_token_rows, "vocab", session.ledger.model)
    unembed = preprocess_unembedding(session.checkpoint, session.choices, session.token_rows)
    null_space = find_null_directions(unembed.to(session.device))
    with session.progress.stage("vocab", len(steps), "layers") as advance:

        def store(projected: _Projected) -> None:
            with session.finishing(projected.step, projected.seconds) as writer:
                write_vocabulary(writer, projected.step.layer, projected.record)
            advance(1)

        with write_in_background(store) as put:  # a layer is written while the next is computed
            for step in steps:
                put(_project(session, projector, null_space, step))


class _Projected(NamedTuple):
    """A layer's record, and the seconds that it took to compute."""

    step: Step
    record: VocabularyRecord
    seconds: float


def _project(session: Session, projector: Projector, null_space: Tensor, step: Step) -> _Projected:
    started = time.perf_counter()
    weights = session.read_layer(step.layer)
    vectors = preprocess_neurons(weights, session.architecture, session.choices)
    record = projector.project(vectors, weights.in_.float())
    record = replace(record, null_share=compute_null_share(vectors.out, null_space))
    return _Projected(step, record, time.perf_counter() - started)


def _projector(session: Session, top_k: int) -> Projector:
    checkpoint, device, rows = session.checkpoint, session.device, session.token_rows
    return Projector(
        preprocess_unembedding(checkpoint, session.choices, rows).to(device),
        read_float_embedding(checkpoint, rows).to(device),
        rows.select(checkpoint.read_unembedding()).to(device),
        top_k,
        rows=rows,
    )


def _store_tokens(session: Session) -> None:
    tokenizer, rows, checkpoint = session.tokenizer, session.token_rows, session.checkpoint
    if tokenizer is None:
        session.progress.note(
            "no tokenizer beside the weights: tokens are stored by number, and every row of U and"
            " E counts as one"
        )
    elif rows.n_unused:
        session.progress.note(
            f"{rows.n_unused:,} of {rows.n_rows:,} rows of U and E are no token's: they are left"
            " out of token lists and moments"
        )
    settings = session.vocabulary_settings | {
        "tokenizer": "none" if tokenizer is None else tokenizer.fingerprint
    }
    for step in session.select_pending([Step("tokens", WHOLE_MODEL, settings)]):
        with session.finishing(step) as writer:
            datasets.store_tokens(writer, _tokens(session), rows.ids)
            bases = (
                preprocess_unembedding(checkpoint, session.choices, rows),
                read_float_embedding(checkpoint, rows),
            )
            unembed_norms, embed_norms = (
                torch.linalg.vector_norm(basis, dim=1).numpy() for basis in bases
            )
            datasets.store_token_norms(writer, unembed_norms, embed_norms, rows.ids)
            n_unused = None if tokenizer is None else rows.n_unused
            models.store_unused_rows(writer.connection, session.ledger.model, n_unused)


def _tokens(session: Session) -> list[Token]:
    """Return the tokens that exist, in the order of their ids."""
    d_vocab = session.architecture.d_vocab
    if session.tokenizer is None:
        return [Token(f"[token {i}]", None) for i in range(d_vocab)]
    return session.tokenizer.list_tokens(d_vocab)
