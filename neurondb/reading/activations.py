"""How a neuron acts on a dataset: moments, sign cases, histograms, quantiles, labels (METHODS §5).

All values are in canonical sign (METHODS §1). A gated neuron has x_gate = hook_pre, x_in =
hook_pre_linear and x_post = hook_post; an ungated one has x_in = hook_pre and no gate.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any, Final

from sqlalchemy import Connection, select

from neurondb import histogram
from neurondb.reading.texts import Dataset
from neurondb.schema import tables

QUANTILE_SHARES: Final = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
"""The shares that a page shows quantiles of."""


@dataclass(frozen=True)
class Moments:
    """Moments of a quantity over all counted tokens; None where no token was counted.

    Variance, skewness and kurtosis are those of the population. The kurtosis is Pearson's: a
    Gaussian has 3.
    """

    mean: float | None
    variance: float | None
    skewness: float | None
    kurtosis: float | None


@dataclass(frozen=True)
class Spread:
    """Mean, minimum and maximum of a quantity in a sign case; None where no token has that case."""

    mean: float | None
    min: float | None
    max: float | None


@dataclass(frozen=True)
class SignCase:
    """The tokens at which gate and in have given signs, and what the neuron does there.

    Attributes:
        sign_case: such as `gate+_in-`; of an ungated neuron `in+` or `in-`.
        count: tokens that fall into it; None where an import does not say.
        freq: their share of all counted tokens; None when no token was counted.
        dominant: whether it is the most frequent case of the neuron.
        swish: the activation function's value, act(x_gate).
    """

    sign_case: str
    count: int | None
    freq: float | None
    dominant: bool
    post: Spread
    pre_linear: Spread
    pre: Spread
    swish: Spread


@dataclass(frozen=True)
class Histogram:
    """How many tokens fall into each bin of a quantity, from the lowest bin to the highest."""

    quantity: str
    counts: tuple[int, ...]


@dataclass(frozen=True)
class Histograms:
    """A neuron's histograms on a dataset.

    Attributes:
        edges: the values between neighbouring bins, ascending: one fewer than there are bins, for
            the two outer bins are open.
        stride: in every text only each `stride`-th position is counted.
        quantities: a histogram for every quantity, that of hook_post first.
    """

    edges: tuple[float, ...]
    stride: int
    quantities: tuple[Histogram, ...]


@dataclass(frozen=True)
class LabelReading:
    """What a neuron does on the texts of one label; numbers are None where no token was counted.

    Attributes:
        label: the part of the dataset, such as a language or a source.
        freq: share of tokens with x_gate > 0; None for an ungated neuron.
        post_positive: share of tokens with hook_post > 0.
    """

    label: str
    n_tokens: int
    freq: float | None
    pre_mean: float | None
    pre_variance: float | None
    post_mean: float | None
    post_variance: float | None
    post_positive: float | None


@dataclass(frozen=True)
class Activations:
    """A neuron's activations on a dataset, in canonical sign.

    Attributes:
        n_tokens: tokens that were counted; None where an import does not say.
        freq: share of them with x_gate > 0; None for an ungated neuron.
        post_positive: share of them with hook_post > 0.
        pre: moments of hook_pre.
        post: moments of hook_post.
        cases: the four sign cases, or the two of an ungated neuron.
        n_nonfinite: tokens left out because gate, in or post was NaN or infinite there.
        histograms: None where none is stored.
        labels: an entry for every part of the dataset; empty where its texts have no labels.
    """

    dataset: Dataset
    n_tokens: int | None
    freq: float | None
    post_positive: float | None
    pre: Moments
    post: Moments
    cases: tuple[SignCase, ...]
    n_nonfinite: int = 0
    histograms: Histograms | None = None
    labels: tuple[LabelReading, ...] = ()

    @property
    def fires(self) -> float | None:
        """Share of tokens with x_gate > 0, or with x_in > 0 for an ungated neuron."""
        if self.freq is not None:
            return self.freq
        return next((case.freq for case in self.cases if case.sign_case == "in+"), None)

    @property
    def dominant(self) -> str | None:
        """The most frequent sign case; None where no token was counted."""
        return next((case.sign_case for case in self.cases if case.dominant), None)

    @property
    def strongest(self) -> str | None:
        """The sign case in which |hook_post| grows largest, which a page shows first."""
        peaks = {
            case.sign_case: (max(abs(case.post.min), abs(case.post.max)), case.dominant)
            for case in self.cases
            if case.post.min is not None and case.post.max is not None
        }
        return max(peaks, key=lambda case: peaks[case]) if peaks else self.dominant


def read_activations(
    connection: Connection, neuron_id: int, dataset: Dataset
) -> Activations | None:
    """Return a neuron's activations on a dataset; None where they are not ingested."""
    a = tables.activation_stats.c
    row = connection.execute(
        select(tables.activation_stats).where(
            (a.neuron_id == neuron_id) & (a.dataset_id == dataset.dataset_id)
        )
    ).first()
    if row is None:
        return None
    return Activations(
        dataset,
        row.n_tokens,
        row.freq,
        row.post_positive,
        _make_moments(row._mapping, "pre"),
        _make_moments(row._mapping, "post"),
        _read_cases(connection, neuron_id, dataset),
        row.n_nonfinite,
        read_histograms(connection, neuron_id, dataset.dataset_id),
        read_labels(connection, neuron_id, dataset.dataset_id),
    )


def _make_moments(row: Mapping[Any, Any], quantity: str) -> Moments:
    return Moments(
        *(row[f"{quantity}_{moment}"] for moment in ("mean", "variance", "skewness", "kurtosis"))
    )


def _make_spread(row: Mapping[Any, Any], quantity: str) -> Spread:
    return Spread(*(row[f"{quantity}_{statistic}"] for statistic in ("mean", "min", "max")))


def _read_cases(connection: Connection, neuron_id: int, dataset: Dataset) -> tuple[SignCase, ...]:
    r, names = tables.sign_case_rows, tables.sign_case_names
    rows = connection.execute(
        select(r, names.c.sign_case)
        .join_from(r, names, names.c.sign_case_id == r.c.sign_case_id)
        .where((r.c.neuron_id == neuron_id) & (r.c.dataset_id == dataset.dataset_id))
        .order_by(r.c.sign_case_id)
    )
    cases = [_make_case(row._mapping) for row in rows]
    if not any(case.freq for case in cases):
        return tuple(cases)
    # Counts tell cases apart that are equally frequent to the last bit; an import may lack them.
    first = max(range(len(cases)), key=lambda i: (cases[i].freq or 0.0, cases[i].count or 0))
    cases[first] = replace(cases[first], dominant=True)
    return tuple(cases)


def _make_case(row: Mapping[Any, Any]) -> SignCase:
    return SignCase(
        sign_case=row["sign_case"],
        count=row["count"],
        freq=row["freq"],
        dominant=False,
        post=_make_spread(row, "post"),
        pre_linear=_make_spread(row, "pre_linear"),
        pre=_make_spread(row, "pre"),
        swish=_make_spread(row, "swish"),
    )


def read_histograms(connection: Connection, neuron_id: int, dataset_id: int) -> Histograms | None:
    """Return a neuron's histograms on a dataset; None where none is stored."""
    h, q = tables.activation_histograms.c, tables.quantities
    rows = connection.execute(
        select(q.c.quantity, h.counts)
        .join_from(tables.activation_histograms, q, q.c.quantity_id == h.quantity_id)
        .where((h.neuron_id == neuron_id) & (h.dataset_id == dataset_id))
        .order_by(h.quantity_id)
    )
    quantities = tuple(
        Histogram(row.quantity, tuple(histogram.unpack(row.counts).tolist())) for row in rows
    )
    if not quantities:
        return None
    return Histograms(tuple(histogram.compute_edges().tolist()), histogram.STRIDE, quantities)


@dataclass(frozen=True)
class Quantiles:
    """The values below which given shares of the counted tokens lie.

    They are interpolated within a bin, so they are right to half an octave.

    Attributes:
        shares: in [0, 1], as in `values`.
        values: None where a share ends in one of the two outer bins, which are open.
    """

    quantity: str
    shares: tuple[float, ...]
    values: tuple[float | None, ...]


def interpolate_quantiles(
    histograms: Histograms | None, shares: Sequence[float] = QUANTILE_SHARES
) -> tuple[Quantiles, ...]:
    """Return the quantiles of every quantity whose histogram holds a token."""
    if histograms is None:
        return ()
    return tuple(
        Quantiles(
            histogram_of_quantity.quantity,
            tuple(shares),
            tuple(
                interpolate_quantile(histograms.edges, histogram_of_quantity.counts, share)
                for share in shares
            ),
        )
        for histogram_of_quantity in histograms.quantities
        if any(histogram_of_quantity.counts)
    )


def interpolate_quantile(
    edges: Sequence[float], counts: Sequence[int], share: float
) -> float | None:
    """Return the value below which a share of the tokens lies; None in an open bin.

    Args:
        edges: the values between neighbouring bins, ascending.
        counts: how many tokens are in each bin, one more than there are edges; not all zero.
        share: in [0, 1].
    """
    cumulative = list(accumulate(counts))
    target = share * cumulative[-1]
    place = next(i for i, total in enumerate(cumulative) if counts[i] and total >= target)
    if place in (0, len(edges)):
        return None
    low, high = edges[place - 1], edges[place]
    fraction = (target - (cumulative[place] - counts[place])) / counts[place]
    return low + (high - low) * max(fraction, 0.0)


def read_labels(
    connection: Connection, neuron_id: int, dataset_id: int
) -> tuple[LabelReading, ...]:
    """Return what a neuron does on every label of a dataset, where it fires most first.

    An ungated neuron goes by its share of tokens with hook_post > 0.
    """
    s, names = tables.label_stats.c, tables.labels
    rows = connection.execute(
        select(
            names.c.label,
            s.n_tokens,
            s.freq,
            s.pre_mean,
            s.pre_variance,
            s.post_mean,
            s.post_variance,
            s.post_positive,
        )
        .join_from(tables.label_stats, names, names.c.label_id == s.label_id)
        .where((s.neuron_id == neuron_id) & (s.dataset_id == dataset_id))
    )
    return tuple(sorted((LabelReading(*row) for row in rows), key=_sort_by_firing))


def _sort_by_firing(reading: LabelReading) -> tuple[float, str]:
    fires = reading.post_positive if reading.freq is None else reading.freq
    return (1.0 if fires is None else -fires, reading.label)
