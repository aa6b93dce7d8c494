"""The job `verify`: what is stored, against the weights it was computed from, in float64.

On request also what `ingest.forward` sees of a running model, against `TransformerBridge`.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from sqlalchemy import Connection, select
from torch import Tensor

from ingest.checkpoint.reader import Architecture
from ingest.forward import Batch, Forward, MLPActivations, make_batches
from ingest.forward.open_model import OpenModel, open_model, open_stored_model
from ingest.forward.transformer_lens_reference import Bridge
from ingest.weights.stored_cosines import compare_stored_cosines
from neurondb.contracts.ingest import VerifyReport
from neurondb.contracts.progress import Progress
from neurondb.errors import IngestError, UnsupportedModelError
from neurondb.formatting.text import format_ingest_command
from neurondb.reading.models import Model, find_model
from neurondb.reading.provenance import count_unused_rows, list_outdated_steps
from neurondb.schema import tables
from neurondb.spelling import option

NEURONS_A_LAYER = 64
"""How many neurons of a layer are looked at where the fingerprint vouches for all weights."""
N_TEXTS, N_POSITIONS = 3, 16
"""How many texts of random tokens the model runs on, and of how many tokens each is."""

ACTIVATION_TOLERANCE = 1e-4
"""By how much an activation in float32 may differ, relative to its layer's root mean square."""


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
            TransformerBridge's by more than 1e-4 of its layer's rms.
    """
    model = find_model(connection, name)
    if activations_on is not None and model.experts is not None:
        raise UnsupportedModelError(
            f"{model.name} is a mixture of experts, whose activations cannot be compared with"
            f" TransformerBridge's: it has no hooks on experts; leave {option('activations')} out"
        )
    checkpoint = open_stored_model(connection, model, experts=True).checkpoint
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
        furthest = _compare_activations(open_model(checkpoint, activations_on), seed, progress)
        progress.note(
            "activations: equal to TransformerBridge's hooks"
            f" within {furthest:.1e} of their layer's root mean square"
        )
    return report


def _refuse_unused_rows(connection: Connection, model: Model) -> None:
    outdated = list_outdated_steps(connection, model.model_id)
    if outdated:
        n = count_unused_rows(connection, model.model_id)
        raise IngestError(
            f"{model.name}: {outdated[0].name} counts the {n:,} rows that no token has as tokens;"
            f" run `{format_ingest_command(model.name, model.source, 'vocab')} --force`"
        )


class Difference(NamedTuple):
    """The largest difference of one hook of a layer, in units of its root mean square there."""

    layer: int
    hook: str
    size: float


class _BridgeComparison:
    """Compares the layers of a forward pass with what the bridge saw of them."""

    def __init__(self, expected: list[MLPActivations]) -> None:
        self.layers = range(len(expected))
        self.differences: list[Difference] = []
        self._expected = expected

    def consume(self, batch: Batch, layer: int, activations: MLPActivations) -> None:
        for (hook, seen), (_, expected) in zip(
            _by_hook(activations), _by_hook(self._expected[layer]), strict=True
        ):
            rms = expected.double().square().mean().sqrt()
            largest = (seen.double() - expected.double()).abs().max()
            size = float(largest / rms.clamp_min(torch.finfo(torch.float32).tiny))
            # A NaN is beyond every tolerance; as such it would pass for the smallest difference.
            self.differences.append(Difference(layer, hook, np.inf if np.isnan(size) else size))


def _by_hook(activations: MLPActivations) -> Iterator[tuple[str, Tensor]]:
    if activations.gate is None:
        yield "hook_pre", activations.in_
    else:
        yield "hook_pre", activations.gate
        yield "hook_pre_linear", activations.in_
    yield "hook_post", activations.post


def _compare_activations(opened: OpenModel, seed: int, progress: Progress) -> float:
    """Return the largest difference of any layer, relative to the layer's rms."""
    checkpoint, device, dtype = opened.checkpoint, opened.device, opened.dtype
    batch = _random_texts(checkpoint.architecture, device, seed)
    with progress.stage("activations", 2, "runs") as advance:
        # One after the other, so that the memory holds the weights once.
        comparison = _BridgeComparison(Bridge(checkpoint, device, dtype).compute_activations(batch))
        advance(1)
        Forward(checkpoint, device, dtype).run(batch, [comparison])
        advance(1)
    furthest = max(comparison.differences, key=lambda difference: difference.size)
    if furthest.size > ACTIVATION_TOLERANCE:
        raise IngestError(
            f"{checkpoint.path}: {furthest.hook} of layer {furthest.layer} differs from"
            f" TransformerBridge's by {furthest.size:.2g} of its root mean square; no activation of"
            " this model can be trusted: report this as a bug of NeuronDB"
        )
    return furthest.size


def _random_texts(architecture: Architecture, device: torch.device, seed: int) -> Batch:
    # Token 0 pads in many models, and the bridge may take it for padding.
    shape = (N_TEXTS, min(N_POSITIONS, architecture.context or N_POSITIONS))
    texts = np.random.default_rng(seed).integers(1, architecture.d_vocab, size=shape)
    (batch,) = make_batches(list(texts), device, max_tokens=texts.size)
    return batch
