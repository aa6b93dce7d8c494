"""What a layer did on random texts, as plain arrays, and the summary that `ingest` makes of it."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from ingest.activations.counted_batch import CountedBatch
from ingest.activations.summary import LayerSummary
from ingest.forward import Batch, MLPActivations
from neurondb.contracts.activations import ActivationsRecord

Activation: TypeAlias = Callable[[Tensor], Tensor]
CPU = torch.device("cpu")
N_NEURONS = 3


@dataclass(frozen=True)
class Text:
    """What a layer did on one text, (positions, neurons), in the model's own signs."""

    gate: Tensor | None
    in_: Tensor
    post: Tensor
    label: int = -1

    @property
    def parts(self) -> list[Tensor]:
        """gate, where there is one, in and post."""
        return [self.in_, self.post] if self.gate is None else [self.gate, self.in_, self.post]


@dataclass(frozen=True)
class Layer:
    """Texts, and how they are to be summarised."""

    texts: list[Text]
    sign: Tensor
    activation: Activation = torch.nn.functional.silu
    skip_bos: bool = False
    n_labels: int = 0
    controls: bool = False
    seed: int = 0
    number: int = 0

    @property
    def gated(self) -> bool:
        """Whether the neurons have a gate."""
        return self.texts[0].gate is not None


# --- at random ----------------------------------------------------------------------------

NUMBERS = (0.0, -0.0, 1.0, -1.0, 1.5, -1.5, 0.25, -2.0, 3.0)
"""Few numbers, so that there are ties."""
EXTREME = (1e30, -1e30, 3e38, 1e-42, -1e-42, 2.0**-6, 2.0**8, 1.5 * 2.0**8, -(2.0**8))
NO_NUMBERS = (math.nan, math.inf, -math.inf)


def leaky(values: Tensor) -> Tensor:
    """An activation without rounding: the same bits beside whatever neighbours."""
    return torch.where(values > 0, values, values * 0.25)


def tanh_shifted(values: Tensor) -> Tensor:
    """An activation that does not keep signs."""
    return torch.tanh(values + 1) - 0.25


def random_layer(
    draw_seed: int,
    n_texts: int,
    *,
    gated: bool = True,
    pool: Sequence[float] | None = NUMBERS,
    longest: int = 6,
    dtype: torch.dtype = torch.float32,
    n_labels: int = 0,
    activation: Activation = leaky,
    n_neurons: int = N_NEURONS,
    free_post: bool = False,
    **options: bool | int,
) -> Layer:
    """Return random texts, of numbers of the `pool` or, without one, normal ones.

    `post` is the activation's times in, or, where it is `free_post`, drawn like the others.
    """
    draw = np.random.default_rng(draw_seed)

    def values(length: int) -> Tensor:
        size = (length, n_neurons)
        chosen = draw.normal(size=size) if pool is None else draw.choice(pool, size)
        return torch.tensor(chosen, dtype=torch.float32).to(dtype)

    texts = []
    for length in draw.integers(1, longest + 1, n_texts).tolist():
        gate, in_, post = values(length), values(length), values(length)
        if not free_post:
            read = gate if gated else in_
            acted = activation(read.float())
            post = (acted * in_ if gated else acted).to(dtype)
        label = int(draw.integers(-1, n_labels)) if n_labels else -1
        texts.append(Text(gate if gated else None, in_, post, label))
    drawn_sign = torch.tensor(draw.choice([-1.0, 1.0], n_neurons), dtype=torch.float32)
    sign = drawn_sign if gated else torch.ones(n_neurons)
    return Layer(texts, sign, activation, n_labels=n_labels, **options)  # type: ignore[arg-type]


# --- through the code under test ----------------------------------------------------------


def activations(layer: Layer, chosen: Sequence[int], garbage: float) -> MLPActivations:
    """Return some texts as a batch; what stands at padding is `garbage`."""
    texts = [layer.texts[i] for i in chosen]
    width = max(len(text.in_) for text in texts)

    def padded(values: list[Tensor]) -> Tensor:
        shape = (len(values), width, values[0].shape[1])
        whole = torch.full(shape, garbage, dtype=values[0].dtype)
        for row, value in zip(whole, values, strict=True):
            row[: len(value)] = value
        return whole

    columns = [padded(list(part)) for part in zip(*(t.parts for t in texts), strict=True)]
    return MLPActivations(*columns) if layer.gated else MLPActivations(None, *columns)


def counted(layer: Layer, chosen: Sequence[int]) -> CountedBatch:
    """Return the batch of some texts, whose token ids mean nothing."""
    lengths = torch.tensor([len(layer.texts[i].in_) for i in chosen])
    ids = torch.zeros(len(chosen), int(lengths.max()), dtype=torch.int64)
    labels = torch.tensor([text.label for text in layer.texts]) if layer.n_labels else None
    batch = Batch(ids, lengths, torch.tensor(chosen))
    return CountedBatch.from_batch(batch, skip_bos=layer.skip_bos, labels=labels)


def empty(layer: Layer) -> LayerSummary:
    """Return the summary of no texts."""
    return LayerSummary.empty(
        len(layer.sign),
        gated=layer.gated,
        device=CPU,
        layer=layer.number,
        n_labels=layer.n_labels,
        controls=layer.controls,
        seed=layer.seed,
    )


def summarised(
    layer: Layer, parts: Sequence[Sequence[int]], *, garbage: float = math.nan
) -> LayerSummary:
    """Return the summary of the texts in these batches."""
    summary = empty(layer)
    for chosen in parts:
        found = activations(layer, sorted(chosen), garbage)
        summary.add(counted(layer, sorted(chosen)), found, layer.sign, layer.activation)
    return summary


def in_one_batch(layer: Layer) -> ActivationsRecord:
    """Return the record of all texts as one batch."""
    return summarised(layer, [range(len(layer.texts))]).record()
