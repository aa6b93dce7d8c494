"""Random baselines: the region that cosines of unrelated vectors fill (METHODS §3).

Source: weakening-neurons §2.3 and App. C.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from neurondb.contracts.weights import Baseline

MAX_STANDARD_ERROR: Final = 5e-4
"""The largest standard error that a quantile of a sampled baseline may have."""

TAIL: Final = 0.025
PAIRS: Final = {"in_out": ("in_", "out"), "gate_out": ("gate", "out"), "gate_in": ("gate", "in_")}
"""Name of a pair → the vectors of neuron i and of neuron j."""

UnitRows = Float[Tensor, "neurons d_model"]


@dataclass(frozen=True)
class Sampling:
    """How the pairs i ≠ j are chosen: from a seed, or all of them."""

    seed: int = 0
    exact: bool = False

    def count_pairs_a_neuron(self, n_neurons: int, d_model: int) -> float | None:
        """Return how many pairs to look at for each neuron; None for all there are.

        The standard error of a Gaussian's 2.5% quantile is √(p(1−p)/n) ÷ its density there
        = 2.67 σ/√n, with σ = 1/√d. Twice what that asks for, since real cosines have
        heavier tails, and since the error is itself estimated, from some tens of them: a sample
        that seems too small has all weights read again. Where it is a quarter of all pairs, all
        cost hardly more.
        """
        n_pairs = 2 * (2.67 / MAX_STANDARD_ERROR) ** 2 / d_model / n_neurons
        return None if self.exact or n_pairs > n_neurons / 4 else n_pairs


def compute_gaussian_region(d_model: int) -> tuple[float, float]:
    """Return the 95% region of the cosine of two random directions in d dimensions.

    The cosine is Beta((d−1)/2, (d−1)/2), rescaled to [−1, 1].
    """
    from scipy.special import betaincinv  # jobs that know their regions need not wait for it

    shape = (d_model - 1) / 2
    low, high = (float(2 * betaincinv(shape, shape, share) - 1) for share in (TAIL, 1 - TAIL))
    return low, high


class Block(NamedTuple):
    """Some neurons' vectors by name (gate, in_, out), and their norms."""

    rows: Mapping[str, Float[Tensor, "neurons d_model"]]
    norms: Mapping[str, Float[Tensor, " neurons"]]

    def compute_cosines(self, pair: str, shift: int = 0) -> Float[Tensor, " neurons"]:
        """Return the cosines of neuron i's left with neuron (i + shift)'s right vector.

        Those of a zero vector are 0/0, NaN.
        """
        left, right = PAIRS[pair]
        dots = _shifted_dots(self.rows[left], self.rows[right], shift)
        return dots / (self.norms[left] * self.norms[right].roll(-shift))


def _shifted_dots(left: Tensor, right: Tensor, shift: int) -> Tensor:
    cut = len(left) - shift
    dots = (left[:cut] * right[shift:]).sum(1)
    return torch.cat([dots, (left[cut:] * right[:shift]).sum(1)]) if shift else dots


class PairSample:
    """Cosines of mismatched pairs, collected block by block.

    Within a block of neurons, pairs are (i, i + shift) for random shifts: no pair twice, and each
    vector once a shift, so that they are nearly independent. Neurons have no order of their own,
    so a block's pairs are as good as any.
    """

    def __init__(self, pairs_a_neuron: float, seed: int) -> None:
        self._pairs_a_neuron = pairs_a_neuron
        self._pairs_owed = 0.0
        self._generator = np.random.default_rng(seed)
        self._cosines: dict[str, list[Tensor]] = {}

    def add(self, block: Block) -> None:
        """Add the cosines of random pairs within a block of neurons."""
        shifts = self.draw_shifts(len(block.norms["out"]))
        for pair, (left, _) in PAIRS.items():
            if left in block.rows:
                for shift in shifts:
                    self.add_cosines(pair, block.compute_cosines(pair, shift))

    def draw_shifts(self, n_neurons: int) -> list[int]:
        """Return the shifts of the next block's pairs, of a block of `n_neurons`."""
        self._pairs_owed += self._pairs_a_neuron
        wanted = math.ceil(self._pairs_owed)
        shifts: list[int] = self._generator.permutation(np.arange(1, n_neurons))[:wanted].tolist()
        self._pairs_owed -= len(shifts)
        return shifts

    def add_cosines(self, pair: str, cosines: Float[Tensor, " pairs"]) -> None:
        """Add cosines of mismatched pairs."""
        self._cosines.setdefault(pair, []).append(cosines)

    def compute_regions(self, n_neurons: int) -> list[Baseline]:
        """Return the region of each pair that has any, with its standard error."""
        total = n_neurons * (n_neurons - 1)
        by_pair = {
            pair: _drop_nan(torch.cat(parts)) for pair, parts in self._cosines.items() if parts
        }
        return [_region(pair, cosines, total) for pair, cosines in by_pair.items() if len(cosines)]


def compute_exact_regions(unit: Mapping[str, UnitRows]) -> list[Baseline]:
    """Return the regions over all pairs i ≠ j of a layer's unit rows."""
    regions = []
    for pair, (left, right) in PAIRS.items():
        if left in unit:
            cosines = _all_pairs(unit[left], unit[right])
            if len(cosines):  # else every vector is zero, or there is one neuron
                regions.append(_region(pair, cosines, len(cosines)))
    return regions


def _all_pairs(left: UnitRows, right: UnitRows) -> NDArray[np.float32]:
    n = len(left)
    cosines = np.empty((n, n), dtype=np.float32)
    for start in range(0, n, 1024):
        cosines[start : start + 1024] = (left[start : start + 1024] @ right.T).cpu().numpy()
    np.fill_diagonal(cosines, np.nan)
    return cosines[~np.isnan(cosines)]


def compute_gaussian_regions(d_model: int, *, gated: bool) -> list[Baseline]:
    """Return the closed-form region of each pair that a layer has."""
    low, high = compute_gaussian_region(d_model)
    pairs = PAIRS if gated else ("in_out",)
    return [Baseline("gaussian", pair, low, high, None, 0.0) for pair in pairs]


def _drop_nan(cosines: Tensor) -> NDArray[np.float32]:
    values: NDArray[np.float32] = cosines.cpu().numpy()
    return values[~np.isnan(values)]


def _region(pair: str, cosines: NDArray[np.float32], total: int) -> Baseline:
    n = len(cosines)
    # After sign canonicalisation the sign of cos(gate, in) carries nothing.
    ends = [TAIL, 1 - TAIL] if pair != "gate_in" else [1 - 2 * TAIL]
    values = np.abs(cosines) if pair == "gate_in" else cosines
    quantiles = [float(q) for q in np.quantile(values, ends)]
    error = 0.0 if n >= total else max(_standard_error(values, q) for q in ends)
    low = quantiles[0] if len(quantiles) == 2 else -quantiles[0]
    return Baseline("mismatched", pair, low, quantiles[-1], n, error)


def _standard_error(sample: NDArray[np.float32], q: float) -> float:
    """Estimate a sample quantile's standard error from the order statistics one σ around it."""
    spread = np.sqrt(q * (1 - q) / len(sample))
    low, high = np.quantile(sample, np.clip([q - spread, q + spread], 0, 1))
    return float(high - low) / 2
