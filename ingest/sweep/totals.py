"""Sums over tokens that merge: those of two samples give those of both together."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ingest.sweep.kinds import Kind


class Totals(NamedTuple):
    """Sums over tokens that merge: those of parts of a dataset give those of the whole.

    `quantities` are those of the `Kind`, in its order; `cases` likewise. Two rows: gate (ungated:
    in) and post. Moments are means and sums of powers of deviations, in float64.
    """

    finite: Int[Tensor, " neurons"]
    nonfinite: Int[Tensor, " neurons"]
    positive: Int[Tensor, "2 neurons"]
    mean: Float[Tensor, "2 neurons"]
    power2: Float[Tensor, "2 neurons"]
    power3: Float[Tensor, "2 neurons"]
    power4: Float[Tensor, "2 neurons"]
    in_case: Int[Tensor, "cases neurons"]
    sum: Float[Tensor, "cases quantities neurons"]
    low: Float[Tensor, "cases quantities neurons"]
    high: Float[Tensor, "cases quantities neurons"]


class Sums(NamedTuple):
    """What the sweep over one batch yields; `totals_of` makes totals of it.

    `powers` are sums of the first four powers of deviations from a centre; `positions` those of
    the peaks (lists, texts, neurons), where the sweep looks for them itself.
    """

    usable: Int[Tensor, " neurons"]
    counted: Int[Tensor, ""]
    positive: list[Tensor]
    powers: list[list[Tensor]]
    in_case: list[Tensor]
    sum: list[Tensor]
    low: list[Tensor]
    high: list[Tensor]
    positions: Tensor | None = None


def no_tokens(kind: Kind, n_neurons: int, device: torch.device) -> Totals:
    """Return the totals of nothing."""
    cases, quantities = len(kind.cases), len(kind.quantities)

    def zeros(*shape: int, dtype: torch.dtype) -> Tensor:
        return torch.zeros(*shape, n_neurons, dtype=dtype, device=device)

    infinity = torch.full((cases, quantities, n_neurons), torch.inf, device=device)
    return Totals(
        finite=zeros(dtype=torch.int64),
        nonfinite=zeros(dtype=torch.int64),
        positive=zeros(2, dtype=torch.int64),
        mean=zeros(2, dtype=torch.float64),
        power2=zeros(2, dtype=torch.float64),
        power3=zeros(2, dtype=torch.float64),
        power4=zeros(2, dtype=torch.float64),
        in_case=zeros(cases, dtype=torch.int64),
        sum=zeros(cases, quantities, dtype=torch.float64),
        low=infinity,
        high=-infinity,
    )


def totals_of(kind: Kind, batch: Sums, about: Float[Tensor, "2 neurons"]) -> Totals:
    """Return the totals of one batch: power sums about a centre become central moments."""
    shape = (len(kind.cases), len(kind.quantities), -1)
    n = batch.usable.double().clamp(min=1)
    s1, s2, s3, s4 = torch.stack([torch.stack(powers) for powers in batch.powers], dim=1)
    d = s1 / n
    return Totals(
        finite=batch.usable.long(),
        nonfinite=(batch.counted - batch.usable).long(),
        positive=torch.stack(batch.positive).long(),
        mean=about + d,
        power2=(s2 - n * d**2).clamp(min=0),
        power3=s3 - 3 * d * s2 + 2 * n * d**3,
        power4=(s4 - 4 * d * s3 + 6 * d**2 * s2 - 3 * n * d**4).clamp(min=0),
        in_case=torch.stack(batch.in_case).long(),
        sum=torch.stack(batch.sum).view(shape),
        low=torch.stack(batch.low).view(shape),
        high=torch.stack(batch.high).view(shape),
    )


def merged(one: Totals, other: Totals) -> Totals:
    """Return the totals of both samples together.

    Moments by the pairwise update of Pébay (2008), "Formulas for robust, one-pass parallel
    computation of covariances and arbitrary-order statistical moments".
    """
    a, b = one.finite.double(), other.finite.double()
    n = (a + b).clamp(min=1)
    # The mean of no tokens says nothing, whatever it is.
    delta = torch.where((a > 0) & (b > 0), other.mean - one.mean, 0.0)
    step = delta / n
    mean = torch.where(a > 0, one.mean, other.mean)
    return Totals(
        finite=one.finite + other.finite,
        nonfinite=one.nonfinite + other.nonfinite,
        positive=one.positive + other.positive,
        mean=mean + step * b,
        power2=one.power2 + other.power2 + delta * step * a * b,
        power3=one.power3
        + other.power3
        + delta * step * step * a * b * (a - b)
        + 3 * step * (a * other.power2 - b * one.power2),
        power4=one.power4
        + other.power4
        + delta * step**3 * a * b * (a * a - a * b + b * b)
        + 6 * step**2 * (a * a * other.power2 + b * b * one.power2)
        + 4 * step * (a * other.power3 - b * one.power3),
        in_case=one.in_case + other.in_case,
        sum=one.sum + other.sum,
        low=torch.minimum(one.low, other.low),
        high=torch.maximum(one.high, other.high),
    )
