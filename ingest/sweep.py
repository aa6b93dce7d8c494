"""One sweep over a batch of one layer's activations: everything METHODS §5 counts.

These are pure functions of tensors. As they stand they run anywhere and are the reference;
`ingest.fused` compiles the very same functions, so that every value is read once. Every
reduction is over a text's positions first and over the texts after that.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ingest.forward import MLPActivations
from neurondb import histogram
from neurondb.schema.codes import (
    GATED_CASES,
    HISTOGRAM_QUANTITIES,
    QUANTITIES,
    SIGN_CASES,
    UNGATED_CASES,
    example_list,
)

HOOK_POST, HOOK_PRE_LINEAR, HOOK_PRE, SWISH = range(len(QUANTITIES))

Activation = Callable[[Tensor], Tensor]

SAME_SWISH: Final = 1 - 2**-20
"""swish is computed anew where a peak is looked for, and may differ in its last bits."""


class Kind(NamedTuple):
    """What is counted of a neuron, by whether it has a gate."""

    gated: bool
    cases: tuple[int, ...]
    quantities: tuple[int, ...]
    peaks: tuple[tuple[int, int], ...]
    """Case and quantity of every example list, in the order of their codes."""
    histograms: tuple[int, ...]

    @property
    def example_lists(self) -> list[int]:
        """Codes of the example lists."""
        return [example_list(case, quantity) for case, quantity in self.peaks]


def _kind(*, gated: bool) -> Kind:
    cases = tuple(GATED_CASES if gated else UNGATED_CASES)
    quantities = (HOOK_POST, HOOK_PRE_LINEAR, HOOK_PRE, SWISH) if gated else (HOOK_POST, HOOK_PRE)
    # Where the gate is positive, swish is monotone in hook_pre and has the same extremes.
    peaks = tuple(
        (case, quantity)
        for case in cases
        for quantity in quantities
        if quantity != SWISH or "gate-" in SIGN_CASES[case]
    )
    drawn = [QUANTITIES.index(name) for name in HISTOGRAM_QUANTITIES]
    return Kind(gated, cases, quantities, peaks, tuple(q for q in drawn if q in quantities))


GATED: Final = _kind(gated=True)
UNGATED: Final = _kind(gated=False)


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

    `powers` are sums of the first four powers of deviations from `about`.
    """

    usable: Int[Tensor, " neurons"]
    counted: Int[Tensor, ""]
    positive: list[Tensor]
    about: list[Tensor]
    powers: list[list[Tensor]]
    in_case: list[Tensor]
    sum: list[Tensor]
    low: list[Tensor]
    high: list[Tensor]


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


def canonical_values(
    found: MLPActivations, sign: Float[Tensor, " neurons"], activation: Activation | None = None
) -> dict[int, Float[Tensor, "texts positions neurons"]]:
    """Return the quantities of METHODS §5 in float32 by code; x_in and x_post times the sign.

    Without the activation function there is no swish.
    """
    in_, post = found.in_.float(), found.post.float()
    if found.gate is None:
        return {HOOK_POST: post, HOOK_PRE: in_}
    gate = found.gate.float()
    values = {HOOK_POST: post * sign, HOOK_PRE_LINEAR: in_ * sign, HOOK_PRE: gate}
    return values if activation is None else {**values, SWISH: activation(gate)}


def _is_finite(found: MLPActivations) -> Bool[Tensor, "texts positions neurons"]:
    # Compilers vectorise this comparison, but not isfinite.
    finite = _below_infinity(found.in_) & _below_infinity(found.post)
    return finite if found.gate is None else finite & _below_infinity(found.gate)


def _below_infinity(values: Tensor) -> Tensor:
    return values.float().abs() < torch.inf


def _cases(
    kind: Kind, values: dict[int, Tensor], usable: Tensor
) -> list[Bool[Tensor, "texts positions neurons"]]:
    """Return where each sign case holds; strictly, so exact zeros are in none."""
    up, down = (values[HOOK_PRE] > 0) & usable, (values[HOOK_PRE] < 0) & usable
    if not kind.gated:
        return [up if SIGN_CASES[case] == "in+" else down for case in kind.cases]
    in_up, in_down = values[HOOK_PRE_LINEAR] > 0, values[HOOK_PRE_LINEAR] < 0
    return [
        (up if "gate+" in SIGN_CASES[case] else down)
        & (in_up if "in+" in SIGN_CASES[case] else in_down)
        for case in kind.cases
    ]


_INFINITY: Final = 0x7F800000
_MINUS_INFINITY: Final = -0x00800000
_BEYOND: Final = 2**30


def _bits(holds: Bool[Tensor, "*shape"]) -> Int[Tensor, "*shape"]:
    """Return all ones where a condition holds, else all zeros.

    To take values by such masks, as integers, is several times faster in plain PyTorch than
    `torch.where`, and unlike a product with 0 and 1 it lets no NaN through.
    """
    return holds.to(torch.int32).neg()


def sweep(
    kind: Kind,
    activation: Activation,
    found: MLPActivations,
    sign: Float[Tensor, " neurons"],
    counted: Bool[Tensor, "texts positions"],
    about: Float[Tensor, "2 neurons"],
) -> tuple[Sums, Float[Tensor, "lists texts neurons"]]:
    """Return the sums over a batch, and each text's peak in every example list.

    A peak is the signed value with the largest |value| among the text's tokens in the case;
    0 where there is none. Powers are summed about `about`, which should be near the means, so
    that nothing cancels.
    """
    values = canonical_values(found, sign, activation)
    usable = _is_finite(found) & counted[:, :, None]
    in_case, sums, low, high, peaks = [], [], [], [], []
    for case, inside in zip(kind.cases, _cases(kind, values, usable), strict=True):
        in_case.append(inside.sum(1, dtype=torch.int32).sum(0))
        chosen = _bits(inside)
        above, below = ~chosen & _INFINITY, ~chosen & _MINUS_INFINITY
        for quantity in kind.quantities:
            value = values[quantity].view(torch.int32) & chosen
            sums.append(value.view(torch.float32).sum(1, dtype=torch.float64).sum(0))
            least = (value | above).view(torch.float32).amin(1)
            most = (value | below).view(torch.float32).amax(1)
            low.append(least.amin(0))
            high.append(most.amax(0))
            if (case, quantity) in kind.peaks:
                peak = torch.where(most >= -least, most, least)
                peaks.append(torch.where(peak.abs() == torch.inf, 0.0, peak))
    positive, powers = [], []
    chosen = _bits(usable)
    for row, quantity in enumerate((HOOK_PRE, HOOK_POST)):
        value = (values[quantity].view(torch.int32) & chosen).view(torch.float32)
        positive.append((value > 0).sum(1, dtype=torch.int32).sum(0))
        deviation = (value.double() - about[row]) * usable
        square = deviation * deviation
        each = (deviation, square, square * deviation, square * square)
        powers.append([power.sum(1).sum(0) for power in each])
    n_usable = usable.sum(1, dtype=torch.int32).sum(0)
    batch = Sums(
        n_usable, counted.sum(), positive, list(about.unbind(0)), powers, in_case, sums, low, high
    )
    return batch, torch.stack(peaks)


def centres(
    totals: Totals,
    found: MLPActivations,
    sign: Float[Tensor, " neurons"],
    counted: Bool[Tensor, "texts positions"],
) -> Float[Tensor, "2 neurons"]:
    """Return what to sum powers about: the means so far, at first those of the first text.

    Only tokens that count are in it: a first position that is skipped is often far from the rest.
    """
    text = counted.any(1).byte().argmax()[None]
    first = MLPActivations(
        None if found.gate is None else found.gate[text], found.in_[text], found.post[text]
    )
    values = canonical_values(first, sign)
    usable = _is_finite(first) & counted[text][:, :, None]
    of_both = torch.cat([values[HOOK_PRE], values[HOOK_POST]]).double()
    some = torch.where(usable, of_both, 0.0).sum(1) / usable.sum(1).clamp(min=1)
    return torch.where(totals.finite > 0, totals.mean, some)


def totals_of(kind: Kind, batch: Sums) -> Totals:
    """Return the totals of one batch: power sums about a centre become central moments."""
    shape = (len(kind.cases), len(kind.quantities), -1)
    about = torch.stack(batch.about)
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


def peak_positions(
    kind: Kind,
    activation: Activation,
    found: MLPActivations,
    sign: Float[Tensor, " neurons"],
    counted: Bool[Tensor, "texts positions"],
    peaks: Float[Tensor, "lists texts neurons"],
) -> Int[Tensor, "lists texts neurons"]:
    """Return the first position of each peak in its text; the text's length where it has none."""
    values = canonical_values(found, sign, activation)
    usable = _is_finite(found) & counted[:, :, None]
    length = counted.shape[1]
    places = torch.arange(length, dtype=torch.int32, device=counted.device)[None, :, None]
    first = []
    cases = dict(zip(kind.cases, _cases(kind, values, usable), strict=True))
    for (case, quantity), peak in zip(kind.peaks, peaks.unbind(0), strict=True):
        here = cases[case] & _is_peak(quantity, values[quantity], peak[:, None])
        # Elsewhere a bit above every position is set.
        first.append((places | (~_bits(here) & _BEYOND)).amin(1).clamp(max=length))
    return torch.stack(first)


def positions_of(
    kind: Kind,
    activation: Activation,
    found: MLPActivations,
    sign: Float[Tensor, " neurons"],
    counted: Bool[Tensor, "texts positions"],
    peaks: Float[Tensor, "lists texts neurons"],
    where: Int[Tensor, "3 peaks"],
) -> Int[Tensor, " peaks"]:
    """Return the positions of a few peaks; the rows of `where` are their lists, texts and neurons.

    Reads the texts of these neurons only: what `peak_positions` returns at `where`, where that
    would be a waste.
    """
    lists, texts, neurons = where

    def columns(values: Tensor) -> Tensor:
        return values[texts, :, neurons][:, :, None]

    chosen = MLPActivations(
        None if found.gate is None else columns(found.gate), columns(found.in_), columns(found.post)
    )
    values = canonical_values(chosen, sign[neurons, None, None], activation)
    cases, quantities = torch.tensor(kind.peaks, device=lists.device).T
    inside = torch.zeros_like(chosen.in_, dtype=torch.bool)
    usable = _is_finite(chosen) & counted[texts][:, :, None]
    for case, holds in zip(kind.cases, _cases(kind, values, usable), strict=True):
        inside |= (cases == case)[lists][:, None, None] & holds
    peak = peaks[lists, texts, neurons][:, None, None]
    here = torch.zeros_like(inside)
    for quantity in kind.quantities:
        of_quantity = (quantities == quantity)[lists][:, None, None]
        here |= of_quantity & _is_peak(quantity, values[quantity], peak)
    return (here & inside).squeeze(2).byte().argmax(1)


def _is_peak(quantity: int, values: Tensor, peak: Tensor) -> Tensor:
    if quantity != SWISH:
        return values == peak
    return values.abs() >= peak.abs() * SAME_SWISH


def histogram_bins(
    kind: Kind,
    found: MLPActivations,
    sign: Float[Tensor, " neurons"],
    tokens: Int[Tensor, "2 tokens"],
) -> Int[Tensor, "quantities tokens neurons"]:
    """Return where to count each value of some tokens: (quantity, neuron, bin) as one number.

    The rows of `tokens` are their texts and positions. The number after the last stands for a
    value that is not counted: NaN or infinite.
    """
    n_neurons = found.in_.shape[-1]
    texts, positions = tokens
    chosen = MLPActivations(
        None if found.gate is None else found.gate[texts, positions],
        found.in_[texts, positions],
        found.post[texts, positions],
    )
    finite = _is_finite(chosen)
    values = canonical_values(chosen, sign)
    neuron = torch.arange(n_neurons, device=tokens.device)
    numbers = []
    for row, quantity in enumerate(kind.histograms):
        place = _bins(values[quantity]) + (neuron + row * n_neurons) * histogram.N_BINS
        numbers.append(
            torch.where(finite, place, len(kind.histograms) * n_neurons * histogram.N_BINS)
        )
    return torch.stack(numbers)


def _bins(values: Float[Tensor, "*shape"]) -> Int[Tensor, "*shape"]:
    """Return the bins of `neurondb.histogram`, from the exponent and the first bit after it."""
    size = values.abs().view(torch.int32) >> 22
    innermost = 2 * (127 + histogram.SMALLEST)
    outwards = (size - (innermost - 1)).clamp(0, histogram.BINS_A_SIDE - 1).long()
    middle = histogram.BINS_A_SIDE
    return torch.where(values < 0, middle - 1 - outwards, middle + outwards)


def sums_by_text(
    found: MLPActivations, sign: Float[Tensor, " neurons"], counted: Bool[Tensor, "texts positions"]
) -> Float[Tensor, "7 texts neurons"]:
    """Return each text's sums for the statistics by label, in float64.

    Tokens; positive hook_pre, hook_post; hook_pre, its square; hook_post, its square.
    """
    values = canonical_values(found, sign)
    usable = _is_finite(found) & counted[:, :, None]
    pre, post = (torch.where(usable, values[q], 0.0).double() for q in (HOOK_PRE, HOOK_POST))
    columns = (usable.double(), (pre > 0).double(), (post > 0).double())
    summed = [column.sum(1) for column in (*columns, pre, pre * pre, post, post * post)]
    return torch.stack(summed)
