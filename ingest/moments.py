"""Exact streaming moments: means and central power sums that merge in any order.

Source: METHODS §5; the pairwise update of Pébay (2008), "Formulas for robust, one-pass parallel
computation of covariances and arbitrary-order statistical moments".
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from neurondb.records import Moments


@dataclass
class StreamingMoments:
    """Count, mean and sums of the 2nd to 4th powers of deviations, per neuron, in float64."""

    n: int
    mean: Float[Tensor, " neurons"]
    m2: Float[Tensor, " neurons"]
    m3: Float[Tensor, " neurons"]
    m4: Float[Tensor, " neurons"]

    @classmethod
    def empty(cls, n_neurons: int, device: torch.device) -> "StreamingMoments":
        """Return the moments of nothing."""
        zero = torch.zeros(n_neurons, dtype=torch.float64, device=device)
        return cls(0, zero, zero, zero, zero)

    @classmethod
    def of(cls, values: Float[Tensor, "tokens neurons"]) -> "StreamingMoments":
        """Return the moments of one batch."""
        exact = values.to(torch.float64)
        mean = exact.mean(0)
        deviation = exact - mean
        square = deviation * deviation
        return cls(
            len(values),
            mean,
            square.sum(0),
            (square * deviation).sum(0),
            (square * square).sum(0),
        )

    def merge(self, other: "StreamingMoments") -> "StreamingMoments":
        """Return the moments of both samples together."""
        if self.n == 0 or other.n == 0:
            return other if self.n == 0 else self
        a, b = self.n, other.n
        n = a + b
        delta = other.mean - self.mean
        step = delta / n
        m2 = self.m2 + other.m2 + delta * step * a * b
        m3 = (
            self.m3
            + other.m3
            + delta * step * step * a * b * (a - b)
            + 3 * step * (a * other.m2 - b * self.m2)
        )
        m4 = (
            self.m4
            + other.m4
            + delta * step**3 * a * b * (a * a - a * b + b * b)
            + 6 * step**2 * (a * a * other.m2 + b * b * self.m2)
            + 4 * step * (a * other.m3 - b * self.m3)
        )
        return StreamingMoments(n, self.mean + step * b, m2, m3, m4)

    def record(self) -> Moments:
        """Return mean, population variance, skewness and Pearson kurtosis; NaN where undefined."""
        variance = self.m2 / self.n
        skewness = (self.m3 / self.n) / variance**1.5
        kurtosis = (self.m4 / self.n) / variance**2
        # equal values leave a rounding error of the mean, not a spread
        constant = variance <= (1e-12 * self.mean) ** 2
        return Moments(
            mean=self.mean.cpu().numpy(),
            variance=variance.cpu().numpy(),
            skewness=skewness.masked_fill(constant, torch.nan).cpu().numpy(),
            kurtosis=kurtosis.masked_fill(constant, torch.nan).cpu().numpy(),
        )
