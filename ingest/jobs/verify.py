"""The job `verify`: what is stored, against the weights it was computed from, in float64.

On request also what `ingest.forward` sees of a running model, against an independent reference.
"""

import numpy as np
import torch
from sqlalchemy import Connection, select

from ingest.checkpoint.reader import Architecture
from ingest.forward import Batch, make_batches
from ingest.forward.activation_check import compare_activations
from ingest.forward.open_model import open_model, open_stored_model
from ingest.weights.stored_cosines import compare_stored_cosines
from neurondb.contracts.ingest import VerifyReport
from neurondb.contracts.progress import Progress
from neurondb.errors import IngestError
from neurondb.formatting.text import format_ingest_command
from neurondb.reading.models import Model, find_model
from neurondb.reading.provenance import count_unused_rows, list_outdated_steps
from neurondb.schema import tables

NEURONS_A_LAYER = 64
"""How many neurons of a layer are looked at where the fingerprint vouches for all weights."""
N_TEXTS, N_POSITIONS = 3, 16
"""How many texts of random tokens the model runs on, and of how many tokens each is."""


def run(
    connection: Connection,
    name: str,
    seed: int,
    progress: Progress,
    activations_on: str | None = None,
) -> VerifyReport:
    """Recompute the cosines of some neurons of every stored layer, and compare.

    With a device in `activations_on`, also run the model there, twice, and compare activations.

    Raises:
        ModelError: when the model cannot be read or run.
        IngestError: when its weights are gone or have changed, its token lists count rows that no
            token has, a stored cosine is off by more than 1e-6, or an activation differs from
            the reference's by more than 1e-4 of its layer's rms.
    """
    model = find_model(connection, name)
    checkpoint = open_stored_model(connection, model).checkpoint
    _refuse_unused_rows(connection, model)
    # Where the fingerprint does not vouch for all weights, all neurons are looked at.
    stored = tables.models.c
    stored_fingerprint = select(stored.fingerprint).where(stored.model_id == model.model_id)
    is_current = connection.execute(stored_fingerprint).scalar_one() == checkpoint.fingerprint()
    report = compare_stored_cosines(
        connection,
        model,
        checkpoint,
        progress,
        n_neurons=NEURONS_A_LAYER if is_current else None,
        seed=seed,
    )
    if activations_on is not None:
        opened = open_model(checkpoint, activations_on)
        batch = _random_texts(checkpoint.architecture, opened.device, seed)
        progress.note(compare_activations(opened, batch, progress))
    return report


def _refuse_unused_rows(connection: Connection, model: Model) -> None:
    outdated = list_outdated_steps(connection, model.model_id)
    if outdated:
        n = count_unused_rows(connection, model.model_id)
        raise IngestError(
            f"{model.name}: {outdated[0].name} counts the {n:,} rows that no token has as tokens;"
            f" run `{format_ingest_command(model.name, model.source, 'vocab')} --force`"
        )


def _random_texts(architecture: Architecture, device: torch.device, seed: int) -> Batch:
    # Token 0 pads in many models, and the bridge may take it for padding.
    shape = (N_TEXTS, min(N_POSITIONS, architecture.context or N_POSITIONS))
    texts = np.random.default_rng(seed).integers(1, architecture.d_vocab, size=shape)
    (batch,) = make_batches(list(texts), device, max_tokens=texts.size)
    return batch
