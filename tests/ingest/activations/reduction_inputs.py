"""What the functions of a sweep are called with, and how two ways of doing it are compared."""

import math
from typing import Any

import torch
from torch import Tensor

from ingest.activations.compiled import PLAIN_KERNELS, Kernels
from ingest.activations.counted_batch import CountedBatch
from ingest.activations.reduction import (
    GATED,
    UNGATED,
    Activation,
    NeuronKind,
    compute_batch_totals,
)
from ingest.forward import MLPActivations
from tests.support.random_layers import (
    CPU,
    EXTREME,
    NO_NUMBERS,
    NUMBERS,
    activations,
    counted,
    random_layer,
)

ACTIVATIONS: dict[str, Activation] = {
    "silu": torch.nn.functional.silu,
    "gelu_pytorch_tanh": torch.nn.GELU("tanh"),
    "relu": torch.nn.functional.relu,
}
POOLS = {"normal": None, "ties": NUMBERS, "any": NUMBERS + EXTREME + NO_NUMBERS}


class Inputs:
    """What the functions of a sweep are called with: random texts as one batch."""

    def __init__(
        self,
        seed: int,
        *,
        gated: bool,
        pool: str = "normal",
        activation: str = "silu",
        n_texts: int = 9,
        n_neurons: int = 37,
        dtype: torch.dtype = torch.float32,
        skip_bos: bool = False,
        longest: int = 12,
        free_post: bool = False,
        device: torch.device = CPU,
    ) -> None:
        self.activation = ACTIVATIONS[activation]
        layer = random_layer(
            seed,
            n_texts,
            gated=gated,
            pool=POOLS[pool],
            longest=longest,
            free_post=free_post,
            dtype=dtype,
            n_neurons=n_neurons,
            activation=self.activation,
            skip_bos=skip_bos,
        )
        self.kind = GATED if gated else UNGATED
        self.sign = layer.sign.to(device)
        # As a pass makes them: torch compiles anew where a tensor is of another mode.
        with torch.inference_mode():
            found = activations(layer, range(n_texts), math.nan)
            gate = None if found.gate is None else found.gate.to(device)
            self.found = MLPActivations(gate, found.in_.to(device), found.post.to(device))
            batch = counted(layer, range(n_texts)).batch.to(device)
            self.batch = CountedBatch.from_batch(batch, skip_bos=skip_bos)
            draw = torch.Generator().manual_seed(seed)
            about = torch.randn(2, n_neurons, generator=draw, dtype=torch.float64)
            self.about = about.to(device)

    def reduce_batch(self, kernels: Kernels) -> tuple[Any, Tensor]:
        counts = self.batch.counted
        arguments = (self.kind, self.activation, self.found, self.sign, counts, self.about)
        sums, peaks = kernels.reduce_batch(*arguments)
        return sums, peaks

    def positions(self, kernels: Kernels, peaks: Tensor) -> Tensor:
        counts = self.batch.counted
        arguments = (self.kind, self.activation, self.found, self.sign, counts, peaks)
        found: Tensor = kernels.find_peak_positions(*arguments)
        return found


@torch.inference_mode()
def assert_alike(kernels: Kernels, inputs: Inputs) -> None:
    """Compare every function with the plain one; exactly, but for what swish is rounded to."""
    (plain, peaks), (fused, fused_peaks) = (
        inputs.reduce_batch(PLAIN_KERNELS),
        inputs.reduce_batch(kernels),
    )
    assert_same_sums(inputs.kind, plain, fused, inputs.about)
    swish = torch.tensor([quantity == 3 for _, quantity in inputs.kind.peaks])
    torch.testing.assert_close(fused_peaks[~swish], peaks[~swish], rtol=0, atol=0)
    torch.testing.assert_close(fused_peaks[swish], peaks[swish], rtol=1e-6, atol=1e-7)
    there = peaks != 0
    positions = inputs.positions(PLAIN_KERNELS, peaks)
    fused_positions = inputs.positions(kernels, fused_peaks)
    exact = there & ~swish[:, None, None].to(there.device)
    assert (positions == fused_positions)[exact].all()
    places = PLAIN_KERNELS.find_histogram_bins(
        inputs.kind, inputs.found, inputs.sign, inputs.batch.drawn_tokens
    )
    fused_places = kernels.find_histogram_bins(
        inputs.kind, inputs.found, inputs.sign, inputs.batch.drawn_tokens
    )
    torch.testing.assert_close(fused_places, places, rtol=0, atol=0)
    by_text = PLAIN_KERNELS.sum_by_text(inputs.found, inputs.sign, inputs.batch.counted)
    fused_by_text = kernels.sum_by_text(inputs.found, inputs.sign, inputs.batch.counted)
    # Sums of values that cancel are as exact as the values are large.
    square = by_text.cpu()[[4, 4, 4, 4, 4, 6, 6]].amax((1, 2), keepdim=True)
    scale = torch.where(
        torch.tensor([0, 0, 0, 1, 0, 1, 0]) > 0, square.sqrt().ravel(), square.ravel()
    )
    gap = (fused_by_text - by_text).cpu().abs().amax((1, 2))
    assert (gap <= 1e-12 * scale).all()


def assert_same_sums(kind: NeuronKind, plain: Any, fused: Any, about: Tensor) -> None:
    """Counts and extremes exactly, swish to its rounding; sums in float64."""
    (one, one_sums), (other, other_sums) = (
        compute_batch_totals(kind, sums, about) for sums in (plain, fused)
    )
    swish = torch.tensor([quantity == 3 for quantity in kind.quantities])
    for name in ("finite", "nonfinite", "positive", "in_case"):
        torch.testing.assert_close(getattr(other, name), getattr(one, name), rtol=0, atol=0)
    for name in ("low", "high"):
        mine, theirs = getattr(one, name), getattr(other, name)
        torch.testing.assert_close(theirs[:, ~swish], mine[:, ~swish], rtol=0, atol=0)
        torch.testing.assert_close(theirs[:, swish], mine[:, swish], rtol=1e-6, atol=1e-7)
    largest = float(torch.stack(plain.high).nan_to_num(0, 0, 0).abs().max())
    # Within a text both sum in float32; where signs mix, what is left is as exact as its parts.
    torch.testing.assert_close(other_sums.sum, one_sums.sum, rtol=1e-6, atol=1e-6 * largest)
    for mine, theirs in zip(plain.powers, fused.powers, strict=True):
        # Odd powers cancel: they are as exact as those around them are large.
        _, square, _, fourth = mine
        scales = ((square * plain.usable).sqrt(), square, (square * fourth).sqrt(), fourth)
        for a, b, scale in zip(mine, theirs, scales, strict=True):
            assert ((a - b).abs() <= 1e-12 * scale).all()
