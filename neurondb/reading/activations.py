"""How a neuron acts on a dataset: moments, sign cases, histograms, labels (METHODS §5)."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from sqlalchemy import Connection, select

from neurondb.errors import UnknownNameError
from neurondb.reading.histograms import Histograms, histograms
from neurondb.reading.labels import LabelReading, labels
from neurondb.reading.models import Model, listed
from neurondb.schema import tables


@dataclass(frozen=True)
class Dataset:
    """A dataset of texts."""

    dataset_id: int
    name: str
    n_texts: int


@dataclass(frozen=True)
class Moments:
    """Population moments over all counted tokens; Pearson kurtosis (a Gaussian has 3)."""

    mean: float | None
    variance: float | None
    skewness: float | None
    kurtosis: float | None


@dataclass(frozen=True)
class Spread:
    """A quantity over the tokens of one sign case; None throughout when there are none."""

    mean: float | None
    min: float | None
    max: float | None


@dataclass(frozen=True)
class SignCase:
    """One sign case; `dominant` marks the most frequent one of the neuron.

    `freq` is None when no token was counted.
    """

    sign_case: str
    count: int
    freq: float | None
    dominant: bool
    post: Spread
    pre_linear: Spread
    pre: Spread
    swish: Spread


@dataclass(frozen=True)
class Activations:
    """A neuron's activations on a dataset, in canonical sign.

    Attributes:
        freq: share of tokens with x_gate > 0; None when ungated.
        post_positive: share of tokens with hook_post > 0.
        pre: moments of hook_pre (x_gate; ungated: x_in).
        post: moments of hook_post.
        n_nonfinite: tokens left out because gate, in or post was NaN or infinite there.
        histograms: None where none is stored.
        labels: one a part of the dataset; empty where its texts have no labels.
    """

    dataset: Dataset
    n_tokens: int
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
        """Share of tokens with x_gate > 0, or x_in > 0 when the neuron is ungated."""
        if self.freq is not None:
            return self.freq
        return next((case.freq for case in self.cases if case.sign_case == "in+"), None)

    @property
    def dominant(self) -> str | None:
        """The most frequent sign case."""
        return next((case.sign_case for case in self.cases if case.dominant), None)

    @property
    def strongest(self) -> str | None:
        """The sign case in which |hook_post| grows largest: what a page leads with."""
        peaks = {
            case.sign_case: (max(abs(case.post.min), abs(case.post.max)), case.dominant)
            for case in self.cases
            if case.post.min is not None and case.post.max is not None
        }
        return max(peaks, key=lambda case: peaks[case]) if peaks else self.dominant


_D: Final = tables.dataset_rows.c
_DATASETS: Final = select(_D.dataset_id, _D.name, _D.n_texts)


def find_dataset(connection: Connection, model: Model, name: str | None) -> Dataset | None:
    """Return the named dataset, or without a name the one that neuron_overview shows.

    Raises:
        UnknownNameError: when there is no dataset of that name.
    """
    if name is not None:
        return named_dataset(connection, name)
    row = connection.execute(_DATASETS.where(_D.dataset_id == model.dataset_id)).first()
    return None if row is None else Dataset(*row)


def named_dataset(connection: Connection, name: str) -> Dataset:
    """Return the dataset of a name.

    Raises:
        UnknownNameError: when there is none; lists those there are.
    """
    row = connection.execute(_DATASETS.where(_D.name == name)).first()
    if row is None:
        names = [row.name for row in connection.execute(_DATASETS.order_by(_D.name))]
        has = listed(names) or "none yet; `neurondb ingest` adds one with --dataset"
        raise UnknownNameError(f"no dataset {name!r} in this database; it has: {has}")
    return Dataset(*row)


def activations(connection: Connection, neuron_id: int, dataset: Dataset) -> Activations | None:
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
        _moments(row._mapping, "pre"),
        _moments(row._mapping, "post"),
        _cases(connection, neuron_id, dataset),
        row.n_nonfinite,
        histograms(connection, neuron_id, dataset.dataset_id),
        labels(connection, neuron_id, dataset.dataset_id),
    )


def _moments(row: Mapping[Any, Any], quantity: str) -> Moments:
    return Moments(
        *(row[f"{quantity}_{moment}"] for moment in ("mean", "variance", "skewness", "kurtosis"))
    )


def _spread(row: Mapping[Any, Any], quantity: str) -> Spread:
    return Spread(*(row[f"{quantity}_{statistic}"] for statistic in ("mean", "min", "max")))


def _cases(connection: Connection, neuron_id: int, dataset: Dataset) -> tuple[SignCase, ...]:
    r, names = tables.sign_case_rows, tables.sign_case_names
    rows = connection.execute(
        select(r, names.c.sign_case)
        .join_from(r, names, names.c.sign_case_id == r.c.sign_case_id)
        .where((r.c.neuron_id == neuron_id) & (r.c.dataset_id == dataset.dataset_id))
        .order_by(r.c.sign_case_id)
    )
    cases = [_case(row._mapping) for row in rows]
    if not cases or not any(case.count for case in cases):
        return tuple(cases)
    first = max(range(len(cases)), key=lambda i: cases[i].count)
    cases[first] = replace(cases[first], dominant=True)
    return tuple(cases)


def _case(row: Mapping[Any, Any]) -> SignCase:
    return SignCase(
        sign_case=row["sign_case"],
        count=row["count"],
        freq=row["freq"],
        dominant=False,
        post=_spread(row, "post"),
        pre_linear=_spread(row, "pre_linear"),
        pre=_spread(row, "pre"),
        swish=_spread(row, "swish"),
    )


def datasets_of(connection: Connection, neuron_id: int) -> tuple[str, ...]:
    """Return the names of the datasets on which a neuron's activations are stored."""
    a, d = tables.activation_stats.c, tables.dataset_rows.c
    rows = connection.execute(
        select(d.name)
        .join_from(tables.activation_stats, tables.dataset_rows, d.dataset_id == a.dataset_id)
        .where(a.neuron_id == neuron_id)
        .order_by(a.dataset_id)
    )
    return tuple(rows.scalars())
