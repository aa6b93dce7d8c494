"""The job `verify`: what is stored, against the weights it was computed from, in float64.

On request also what `ingest.forward` sees of a running model, against `TransformerBridge`.
"""

import json
from collections.abc import Iterator
from dataclasses import fields
from typing import NamedTuple

import numpy as np
import torch
from neurondb.jobs import Preprocessing, Progress, VerifyReport
from neurondb.reading.unused_rows import outdated_steps, unused_rows
from neurondb.render.hints import ingest_command
from numpy.typing import NDArray
from sqlalchemy import Connection, select
from torch import Tensor

from ingest.checkpoint.reader import Architecture, Checkpoint
from ingest.checkpoint.stored import original
from ingest.forward import Batch, Forward, MLPActivations, batches, pick_device
from ingest.forward.bridge import Bridge
from ingest.weights.preprocess import NeuronVectors, canonical
from neurondb.errors import IngestError
from neurondb.reading.models import Model, find_model
from neurondb.schema import tables

NEURONS_A_LAYER = 64
TOLERANCE = 1e-6
"""Of a stored cosine, absolute."""

TEXTS, POSITIONS = 3, 16
"""Of the texts of random tokens that the model runs on."""

ACTIVATION_TOLERANCE = 1e-4
"""Of an activation in float32, relative to the root mean square of its layer."""

PAIRS = {"gate_in": ("gate", "in_"), "gate_out": ("gate", "out"), "in_out": ("in_", "out")}


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
    checkpoint = original(connection, model)
    _refuse_unused_rows(connection, model)
    # Where the fingerprint does not vouch for all weights, all neurons are looked at.
    stored = tables.models.c
    found = select(stored.fingerprint).where(stored.model_id == model.model_id)
    is_new = connection.execute(found).scalar_one() == checkpoint.fingerprint()
    report = compare_cosines(
        connection,
        model,
        checkpoint,
        progress,
        n_neurons=NEURONS_A_LAYER if is_new else None,
        seed=seed,
    )
    if activations_on is not None:
        furthest = _compare_activations(checkpoint, activations_on, seed, progress)
        progress.note(
            "activations: equal to TransformerBridge's hooks"
            f" within {furthest:.1e} of their layer's root mean square"
        )
    return report


def compare_cosines(
    connection: Connection,
    model: Model,
    checkpoint: Checkpoint,
    progress: Progress,
    *,
    n_neurons: int | None = None,
    seed: int = 0,
) -> VerifyReport:
    """Recompute the cosines of `n_neurons` of every stored layer, drawn by `seed`; None is all.

    Raises:
        ModelError: when the weights cannot be read.
        IngestError: when a stored cosine is off by more than 1e-6.
    """
    layers = _stored_layers(connection, model)
    rng = np.random.default_rng(seed)
    worst, n_compared = 0.0, 0
    with progress.stage("verify", len(layers), "layers") as advance:
        for layer, choices in layers.items():
            chosen = np.sort(rng.permutation(model.d_mlp)[:n_neurons])
            weights = checkpoint.layer(layer)
            computed = _cosines(canonical(weights, checkpoint.architecture, choices), chosen)
            differences = _difference(_stored(connection, model, layer)[chosen], computed)
            _refuse_beyond_tolerance(model, layer, chosen, differences)
            worst = max(worst, float(differences.max()))
            n_compared += len(chosen)
            advance(1)
    return VerifyReport(model.name, len(layers), n_compared, worst)


def _refuse_unused_rows(connection: Connection, model: Model) -> None:
    outdated = outdated_steps(connection, model.model_id)
    if outdated:
        n = unused_rows(connection, model.model_id)
        raise IngestError(
            f"{model.name}: {outdated[0].name} counts the {n:,} rows that no token has as tokens;"
            f" run `{ingest_command(model.name, model.source, 'vocab')} --force`"
        )


def _stored_layers(connection: Connection, model: Model) -> dict[int, Preprocessing]:
    """Return the layers whose weights are stored, with the choices that were made."""
    step = tables.ingest_steps.c
    rows = connection.execute(
        select(step.layer, step.settings)
        .where(step.model_id == model.model_id, step.stage == "weights")
        .order_by(step.layer)
    )
    names = [field.name for field in fields(Preprocessing)]
    return {
        row.layer: Preprocessing(**{k: json.loads(row.settings)[k] for k in names}) for row in rows
    }


def _stored(connection: Connection, model: Model, layer: int) -> NDArray[np.float64]:
    """Return the stored cosines of a layer, neurons × pairs; NaN for NULL."""
    first = model.first_neuron_id + layer * model.d_mlp
    c = tables.cosines.c
    rows = connection.execute(
        select(*(c[pair] for pair in PAIRS))
        .where(c.neuron_id >= first, c.neuron_id < first + model.d_mlp)
        .order_by(c.neuron_id)
    ).all()
    return np.array([tuple(row) for row in rows], dtype=np.float64)


def _cosines(vectors: NeuronVectors, chosen: NDArray[np.int64]) -> NDArray[np.float64]:
    rows = torch.from_numpy(chosen)
    found = np.full((len(chosen), len(PAIRS)), np.nan)
    for column, (left, right) in enumerate(PAIRS.values()):
        one, other = getattr(vectors, left), getattr(vectors, right)
        if one is not None:
            found[:, column] = _row_cosines(one[rows].double(), other[rows].double())
    return found


def _row_cosines(one: Tensor, other: Tensor) -> NDArray[np.float64]:
    norms = torch.linalg.vector_norm(one, dim=1) * torch.linalg.vector_norm(other, dim=1)
    cosines: NDArray[np.float64] = ((one * other).sum(1) / norms).numpy()
    return cosines


def _difference(stored: NDArray[np.float64], computed: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return each neuron's largest difference; one that is NULL on one side only is infinite."""
    both = np.isnan(stored) & np.isnan(computed)
    difference = np.where(both, 0.0, np.abs(stored - computed))
    worst: NDArray[np.float64] = np.nan_to_num(difference, nan=np.inf).max(1)
    return worst


def _refuse_beyond_tolerance(
    model: Model, layer: int, chosen: NDArray[np.int64], differences: NDArray[np.float64]
) -> None:
    wrong = int(differences.argmax())
    if differences[wrong] > TOLERANCE:
        raise IngestError(
            f"{model.name} {layer}.{chosen[wrong]}: a stored cosine is off by "
            f"{differences[wrong]:.2g}; run `neurondb ingest {model.source} --name {model.name} "
            "--force`"
        )


# --- activations ---------------------------------------------------------------------------


class Difference(NamedTuple):
    """The largest difference of one hook of a layer, in units of its root mean square there."""

    layer: int
    hook: str
    size: float


class _Comparing:
    """Compares the layers of a forward pass with what the bridge saw of them."""

    def __init__(self, expected: list[MLPActivations]) -> None:
        self.layers = range(len(expected))
        self.differences: list[Difference] = []
        self._expected = expected

    def consume(self, batch: Batch, layer: int, found: MLPActivations) -> None:
        for (hook, one), (_, other) in zip(
            _by_hook(found), _by_hook(self._expected[layer]), strict=True
        ):
            rms = other.double().square().mean().sqrt()
            largest = (one.double() - other.double()).abs().max()
            size = float(largest / rms.clamp_min(torch.finfo(torch.float32).tiny))
            # A NaN is beyond every tolerance; as such it would pass for the smallest difference.
            self.differences.append(Difference(layer, hook, np.inf if np.isnan(size) else size))


def _by_hook(found: MLPActivations) -> Iterator[tuple[str, Tensor]]:
    if found.gate is None:
        yield "hook_pre", found.in_
    else:
        yield "hook_pre", found.gate
        yield "hook_pre_linear", found.in_
    yield "hook_post", found.post


def _compare_activations(
    checkpoint: Checkpoint, device_name: str, seed: int, progress: Progress
) -> float:
    """Return the largest difference of any layer, relative to the layer's rms."""
    device = pick_device(device_name)
    batch = _random_texts(checkpoint.architecture, device, seed)
    with progress.stage("activations", 2, "runs") as advance:
        # One after the other, so that the memory holds the weights once.
        comparing = _Comparing(Bridge(checkpoint, device, torch.float32).activations(batch))
        advance(1)
        Forward(checkpoint, device, torch.float32).run(batch, [comparing])
        advance(1)
    furthest = max(comparing.differences, key=lambda difference: difference.size)
    if furthest.size > ACTIVATION_TOLERANCE:
        raise IngestError(
            f"{checkpoint.path}: {furthest.hook} of layer {furthest.layer} differs from"
            f" TransformerBridge's by {furthest.size:.2g} of its root mean square; no activation of"
            " this model can be trusted: report this as a bug of NeuronDB"
        )
    return furthest.size


def _random_texts(architecture: Architecture, device: torch.device, seed: int) -> Batch:
    # Token 0 pads in many models, and the bridge may take it for padding.
    shape = (TEXTS, min(POSITIONS, architecture.context or POSITIONS))
    texts = np.random.default_rng(seed).integers(1, architecture.d_vocab, size=shape)
    (batch,) = batches(list(texts), device, max_tokens=texts.size)
    return batch
