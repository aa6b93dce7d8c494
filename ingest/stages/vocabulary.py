"""The stage `vocab`: what tokens every neuron reads and writes (METHODS §4)."""

import time
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from ingest.executors import Worker
from ingest.forward.devices import find_exact_device
from ingest.forward.open_model import OpenModel
from ingest.forward.runtime import use_threads_for
from ingest.stages.background_writer import write_in_background
from ingest.stages.joined_records import join_records
from ingest.stages.layer_storing import divide_storing, finish_layer
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
from ingest.weights.token_rows import TokenRows
from neurondb.contracts.ingest import Preprocessing, choose_top_k
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
    compute = VocabularyProjection(session.opened, session.choices, session.token_rows, top_k)
    if steps:
        _store_projections(session, steps, compute)
    store_property_effects(session, lambda: _tokens(session), compute.used_projector)


def _store_projections(
    session: Session, steps: list[Step], compute: "VocabularyProjection"
) -> None:
    indexes.prepare_load(session.engine, tables.top_token_rows, "vocab", session.ledger.model)
    with session.progress.stage("vocab", len(steps), "layers") as advance:

        def store(found: tuple[int, Any]) -> None:
            place, outcome = found
            finish_layer(session, steps[place], outcome, write_vocabulary)
            advance(1)

        with write_in_background(store) as put:  # a layer is written while the next is computed
            for found in session.compute(divide_storing(session, compute, write_vocabulary), steps):
                put(found)


@dataclass
class VocabularyProjection:
    """A computation: the projections of a layer onto the vocabulary, and the seconds they took.

    Attributes:
        opened: The model.
        choices: How its weights are preprocessed.
        rows: The rows of U and E that are a token's.
        top_k: Tokens a list.
        used_projector: What projects, once a layer was projected here; it stays for the next.
    """

    opened: OpenModel
    choices: Preprocessing
    rows: TokenRows
    top_k: int
    used_projector: Projector | None = None
    _null_space: Tensor | None = field(default=None, repr=False)

    def __call__(self, layer: int, worker: Worker) -> tuple[VocabularyRecord, float]:
        """Read a layer and project it; CheckpointError where something cannot be read.

        A layer of experts is read and projected some experts at a time.
        """
        started = time.perf_counter()
        device = find_exact_device(worker.device)
        projector, null_space = self._prepare(device)
        parts = []
        for weights in self.opened.checkpoint.read_parts(layer):
            part = weights.to(device)
            vectors = preprocess_neurons(part, self.opened.architecture, self.choices)
            record = projector.project(vectors, part.in_.float())
            null_share = compute_null_share(vectors.out, null_space)
            parts.append(replace(record, null_share=null_share))
        return join_records(parts), time.perf_counter() - started

    def _prepare(self, device: torch.device) -> tuple[Projector, Tensor]:
        """Return what every layer is projected with, read at the first."""
        if self.used_projector is None or self._null_space is None:
            use_threads_for(self.opened.architecture, vocabulary=True)
            checkpoint, rows = self.opened.checkpoint, self.rows
            unembed = preprocess_unembedding(checkpoint, self.choices, rows).to(device)
            self.used_projector = Projector(
                unembed,
                read_float_embedding(checkpoint, rows).to(device),
                rows.select(checkpoint.read_unembedding()).to(device),
                self.top_k,
                rows=rows,
            )
            self._null_space = find_null_directions(unembed)
        return self.used_projector, self._null_space


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
