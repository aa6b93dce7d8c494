"""What is counted of a sample of tokens, in two parts: that which any order gives, and sums.

Counts and extremes of parts of a dataset give those of the whole to the bit, in whatever order they
are put together. Sums of floats do not: `reduction.summation_tree` fixes their order.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ingest.activations.reduction.quantities import NeuronKind


class Counts(NamedTuple):
    """Numbers of tokens, and extremes.

    `quantities` and `cases` are those of the `NeuronKind`, in its order. Where there are two rows,
    they are gate (ungated: in) and post.
    """

    finite: Int[Tensor, " neurons"]
    nonfinite: Int[Tensor, " neurons"]
    positive: Int[Tensor, "2 neurons"]
    in_case: Int[Tensor, "cases neurons"]
    low: Float[Tensor, "cases quantities neurons"]
    high: Float[Tensor, "cases quantities neurons"]


class FloatSums(NamedTuple):
    """Sums in float64, whose last bits depend on the order of summation.

    Moments are means and sums of powers of deviations from them, in rows as those of `Counts`.
    """

    finite: Int[Tensor, " neurons"]
    """Tokens that the moments are of."""
    mean: Float[Tensor, "2 neurons"]
    power2: Float[Tensor, "2 neurons"]
    power3: Float[Tensor, "2 neurons"]
    power4: Float[Tensor, "2 neurons"]
    sum: Float[Tensor, "cases quantities neurons"]
    by_label: Float[Tensor, "4 labels neurons"]
    """By the texts' labels: hook_pre, its square; hook_post, its square."""

    def to(self, device: torch.device | str) -> "FloatSums":
        """Return the sums on another device."""
        return FloatSums(*(tensor.to(device) for tensor in self))


Rows = Sequence[Tensor] | Tensor
"""Rows of neurons, each of them a tensor, or all of them one."""


class BatchSums(NamedTuple):
    """What the reduction of one batch yields; `compute_batch_totals` makes totals of it.

    `powers` are sums of the first four powers of deviations from a centre; `positions` those of
    the peaks (lists, texts, neurons), where the reduction looks for them itself. What has several
    rows is one tensor where the reduction makes one, else a list, which is stacked once for all.
    """

    usable: Int[Tensor, " neurons"]
    counted: Int[Tensor, ""]
    positive: Rows
    powers: Sequence[Sequence[Tensor]] | Tensor
    in_case: Rows
    sum: Rows
    low: Rows
    high: Rows
    positions: Tensor | None = None


def make_zero_counts(kind: NeuronKind, n_neurons: int, device: torch.device) -> Counts:
    """Return counts of no tokens, to add to."""
    cases, quantities = len(kind.cases), len(kind.quantities)

    def zeros(*shape: int) -> Tensor:
        return torch.zeros(*shape, n_neurons, dtype=torch.int64, device=device)

    infinity = torch.full((cases, quantities, n_neurons), torch.inf, device=device)
    return Counts(
        finite=zeros(),
        nonfinite=zeros(),
        positive=zeros(2),
        in_case=zeros(cases),
        low=infinity,
        high=-infinity,
    )


def make_zero_sums(
    kind: NeuronKind, n_neurons: int, n_labels: int, device: torch.device
) -> FloatSums:
    """Return sums of no tokens, to add to."""

    def zeros(*shape: int) -> Tensor:
        return torch.zeros(*shape, n_neurons, dtype=torch.float64, device=device)

    return FloatSums(
        finite=torch.zeros(n_neurons, dtype=torch.int64, device=device),
        mean=zeros(2),
        power2=zeros(2),
        power3=zeros(2),
        power4=zeros(2),
        sum=zeros(len(kind.cases), len(kind.quantities)),
        by_label=zeros(4, n_labels),
    )


def compute_batch_totals(
    kind: NeuronKind,
    batch: BatchSums,
    centre: Float[Tensor, "2 neurons"],
    moments: Sequence[Tensor] | None = None,
) -> tuple[Counts, FloatSums]:
    """Return a batch's counts and sums: power sums about a centre become central moments.

    The reduction yields no sums by label; `by_label` has no columns. `moments` are those of
    `compute_batch_moments`, where they are known.
    """
    shape = (len(kind.cases), len(kind.quantities), -1)
    finite = batch.usable.long()
    if moments is None:
        moments = compute_batch_moments(finite, batch.powers, centre)
    counts = Counts(
        finite=finite,
        nonfinite=(batch.counted - batch.usable).long(),
        positive=_stack(batch.positive).long(),
        in_case=_stack(batch.in_case).long(),
        low=_stack(batch.low).view(shape),
        high=_stack(batch.high).view(shape),
    )
    mean, power2, power3, power4 = moments
    return counts, FloatSums(
        finite=finite,
        mean=mean,
        power2=power2,
        power3=power3,
        power4=power4,
        sum=_stack(batch.sum).view(shape),
        by_label=centre.new_zeros(4, 0, centre.shape[1]),
    )


def compute_batch_moments(
    finite: Int[Tensor, " neurons"],
    powers: Sequence[Sequence[Tensor]] | Tensor,
    centre: Float[Tensor, "2 neurons"],
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return means and sums of the second to fourth power of deviations from them.

    Each is (2, neurons); `powers` are sums of powers of deviations from `centre`.
    """
    if not isinstance(powers, Tensor):
        powers = torch.stack([_stack(of_row) for of_row in powers])
    s1, s2, s3, s4 = powers.unbind(1)
    n = finite.double().clamp(min=1)
    d = s1 / n
    square = d * d
    return (
        centre + d,
        (s2 - n * square).clamp(min=0),
        s3 - 3 * d * s2 + 2 * n * square * d,
        (s4 - 4 * d * s3 + 6 * square * s2 - 3 * n * square * square).clamp(min=0),
    )


def _stack(rows: Rows) -> Tensor:
    return rows if isinstance(rows, Tensor) else torch.stack(list(rows))


def add_counts(first: Counts, second: Counts) -> Counts:
    """Return the counts of both samples together; their order changes no bit."""
    return Counts(
        finite=first.finite + second.finite,
        nonfinite=first.nonfinite + second.nonfinite,
        positive=first.positive + second.positive,
        in_case=first.in_case + second.in_case,
        low=torch.minimum(first.low, second.low),
        high=torch.maximum(first.high, second.high),
    )


def add_sums(first: FloatSums, second: FloatSums) -> FloatSums:
    """Return the sums of both samples together.

    Sums, products and quotients only, each rounded as IEEE 754 says, so that processors and GPUs
    give the same bits. Moments by the pairwise update of Pébay (2008), "Formulas for robust,
    one-pass parallel computation of covariances and arbitrary-order statistical moments".
    """
    a, b = first.finite.double(), second.finite.double()
    n = (a + b).clamp(min=1)
    # The mean of no tokens says nothing, whatever it is.
    delta = torch.where((a > 0) & (b > 0), second.mean - first.mean, 0.0)
    step = delta / n
    square = step * step
    product = delta * step * a * b
    mean = torch.where(a > 0, first.mean, second.mean)
    return FloatSums(
        finite=first.finite + second.finite,
        mean=mean + step * b,
        power2=first.power2 + second.power2 + product,
        power3=first.power3
        + second.power3
        + product * step * (a - b)
        + 3 * step * (a * second.power2 - b * first.power2),
        power4=first.power4
        + second.power4
        + product * square * (a * a - a * b + b * b)
        + 6 * square * (a * a * second.power2 + b * b * first.power2)
        + 4 * step * (a * second.power3 - b * first.power3),
        sum=first.sum + second.sum,
        by_label=first.by_label + second.by_label,
    )
