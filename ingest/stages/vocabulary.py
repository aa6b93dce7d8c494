"""The stage `vocab`: what tokens every neuron reads and writes (METHODS §4)."""

import time

import torch

from ingest.preprocess import canonical, embedding, unembedding
from ingest.session import Session
from ingest.vocabulary import Projector
from neurondb.records import Token
from neurondb.schema import tables
from neurondb.writing import datasets, indexes, layers
from neurondb.writing.ledger import WHOLE_MODEL, Step


def vocabulary_stage(session: Session) -> None:
    """Store the model's vocabulary and project every layer onto it."""
    top_k = session.request.top_k
    settings = session.preprocessing | {"k": top_k}
    steps = session.pending(Step("vocab", n, settings) for n in session.layers)
    _store_tokens(session)  # once it is known that no list was made with other choices
    if not steps:
        return
    indexes.prepare_load(session.engine, tables.top_token_rows, "vocab", session.ledger.model)
    projector = _projector(session, top_k)
    with session.progress.stage("vocab", len(steps), "layers") as advance:
        for step in steps:
            started = time.perf_counter()
            weights = session.layer(step.layer)
            vectors = canonical(weights, session.architecture, session.choices)
            record = projector.project(vectors, weights.in_.float())
            with session.finishing(step, time.perf_counter() - started) as writer:
                layers.write_vocabulary(writer, step.layer, record)
            advance(1)


def _projector(session: Session, top_k: int) -> Projector:
    checkpoint, device = session.checkpoint, session.device
    return Projector(
        unembedding(checkpoint, session.choices).to(device),
        embedding(checkpoint).to(device),
        checkpoint.unembedding().to(device),
        top_k,
    )


def _store_tokens(session: Session) -> None:
    d_vocab = session.architecture.d_vocab
    if session.tokenizer is None:
        session.progress.note("no tokenizer beside the weights: tokens are stored by number")
        tokens = [Token(f"[token {i}]", None) for i in range(d_vocab)]
        settings = session.preprocessing | {"tokenizer": "none"}
    else:
        tokens = session.tokenizer.vocabulary(d_vocab)
        settings = session.preprocessing | {"tokenizer": session.tokenizer.fingerprint}
    for step in session.pending([Step("tokens", WHOLE_MODEL, settings)]):
        with session.finishing(step) as writer:
            datasets.store_tokens(writer, tokens)
            rows = unembedding(session.checkpoint, session.choices), embedding(session.checkpoint)
            norms = (torch.linalg.vector_norm(basis, dim=1).numpy() for basis in rows)
            datasets.store_token_norms(writer, *norms)
