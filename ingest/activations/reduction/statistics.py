"""What counts and sums say: moments, means and extremes of cases, statistics by label.

Computed on the processor by operations that IEEE 754 defines to the last bit.
"""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ingest.activations.reduction.quantities import NeuronKind
from ingest.activations.reduction.totals import Counts, FloatSums
from neurondb.contracts.activations import LabelStatistics, Moments, SignCase


def compute_moments(sums: FloatSums, row: int) -> Moments:
    """Return mean, population variance, skewness and Pearson kurtosis; NaN where undefined."""
    n = sums.finite.double()
    mean = sums.mean[row].masked_fill(n == 0, torch.nan)
    variance = sums.power2[row] / n
    # No powers but these: others differ in the last bit between processors.
    skewness = (sums.power3[row] / n) / (variance * variance.sqrt())
    kurtosis = (sums.power4[row] / n) / (variance * variance)
    # Equal values leave a rounding error of the mean, not a spread.
    constant = variance <= (1e-12 * mean).square()
    return Moments(
        mean=mean.numpy(),
        variance=variance.numpy(),
        skewness=skewness.masked_fill(constant, torch.nan).numpy(),
        kurtosis=kurtosis.masked_fill(constant, torch.nan).numpy(),
    )


def describe_cases(kind: NeuronKind, totals: Counts, sums: FloatSums) -> list[SignCase]:
    """Return the statistics of every case; NaN where no token was in it."""
    empty = totals.in_case[:, None] == 0
    tables = {
        "mean": sums.sum / totals.in_case[:, None],
        "min": totals.low.double().masked_fill(empty, torch.nan),
        "max": totals.high.double().masked_fill(empty, torch.nan),
    }
    arrays = {name: table.numpy() for name, table in tables.items()}
    return [
        SignCase(
            count=count,
            **{
                name: dict(zip(kind.quantities, array[case], strict=True))
                for name, array in arrays.items()
            },
        )
        for case, count in enumerate(totals.in_case.numpy())
    ]


def describe_labels(
    kind: NeuronKind, by_label: Float[Tensor, "7 labels neurons"]
) -> list[LabelStatistics]:
    """Return the statistics of every label; NaN where it has no tokens."""
    statistics = []
    for sums in by_label.numpy().swapaxes(0, 1):
        n, positive, post_positive, pre, pre2, post, post2 = sums
        with np.errstate(invalid="ignore", divide="ignore"):
            pre_mean, post_mean = pre / n, post / n
            pre_variance, post_variance = pre2 / n - pre_mean**2, post2 / n - post_mean**2
        statistics.append(
            LabelStatistics(
                n_tokens=n.astype(np.int64),
                gate_positive=positive.astype(np.int64) if kind.gated else None,
                post_positive=post_positive.astype(np.int64),
                pre_mean=pre_mean,
                pre_variance=np.maximum(pre_variance, 0),
                post_mean=post_mean,
                post_variance=np.maximum(post_variance, 0),
            )
        )
    return statistics
