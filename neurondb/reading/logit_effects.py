"""What single neurons write to the vocabulary: stored histograms (universal-neurons Fig. 5).

They are of neurons with a role and of those that a property of tokens explains the best, of every
layer; `neurondb ingest --stages vocab` stores them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import Connection, select

from neurondb.reading.models import Model
from neurondb.schema import codes, tables


class LogitBin(NamedTuple):
    """A bin of cos(U_token, out): its edges, its tokens, those of them that have the property."""

    low: float
    high: float
    n: int
    n_inside: int


@dataclass(frozen=True)
class LogitEffects:
    """A neuron's effects on the vocabulary, split by a property of tokens.

    Attributes:
        property_name: the property.
        bins: those that hold tokens, ascending.
    """

    neuron_id: int
    property_name: str
    bins: tuple[LogitBin, ...]

    @property
    def n(self) -> int:
        """How many tokens there are."""
        return sum(bin_.n for bin_ in self.bins)

    @property
    def n_inside(self) -> int:
        """How many of them have the property."""
        return sum(bin_.n_inside for bin_ in self.bins)

    @property
    def difference(self) -> float:
        """Mean effect on the tokens with the property, minus that on all others.

        Each token stands in the middle of its bin; 0 where no token has the property, or all have.
        """
        n_outside = self.n - self.n_inside
        if not self.n_inside or not n_outside:
            return 0.0
        inside = sum((b.low + b.high) * b.n_inside for b in self.bins) / self.n_inside
        outside = sum((b.low + b.high) * (b.n - b.n_inside) for b in self.bins) / n_outside
        return (inside - outside) / 2

    @property
    def variance(self) -> float:
        """Variance of the effects if every token had the mean of its group (METHODS §9)."""
        share = self.n_inside / self.n
        return share * (1 - share) * self.difference**2

    @property
    def third_moment(self) -> float:
        """Third central moment of the effects if every token had the mean of its group."""
        share = self.n_inside / self.n
        return share * (1 - share) * (1 - 2 * share) * self.difference**3


class OutMoments(NamedTuple):
    """A neuron with histograms, and the moments of cos(U, out) that its role follows from."""

    neuron_id: int
    skewness: float
    kurtosis: float
    variance: float


def list_neurons_with_logit_effects(connection: Connection, model: Model) -> list[OutMoments]:
    """Return the neurons of a model that have histograms, in the order of their ids."""
    r, v = tables.logit_effect_rows.c, tables.vocab_stat_rows.c
    last = model.first_neuron_id + model.n_ids - 1
    ids = select(r.neuron_id).where(r.neuron_id.between(model.first_neuron_id, last)).distinct()
    rows = connection.execute(
        select(v.neuron_id, v.skewness, v.kurtosis, v.variance)
        .where(v.neuron_id.in_(ids), v.vector_id == codes.VECTORS.index("out"))
        .order_by(v.neuron_id)
    )
    return [
        OutMoments(row[0], *(float("nan") if value is None else value for value in row[1:]))
        for row in rows
    ]


def read_logit_effects(connection: Connection, neuron_id: int) -> Sequence[LogitEffects]:
    """Return a neuron's histograms, that of the property that explains the most variance first."""
    r, p = tables.logit_effect_rows.c, tables.properties.c
    rows = connection.execute(
        select(p.name, r.low, r.high, r.n, r.n_inside)
        .join_from(tables.logit_effect_rows, tables.properties, p.property_id == r.property_id)
        .where(r.neuron_id == neuron_id)
        .order_by(r.property_id, r.low)
    )
    of_property: dict[str, list[LogitBin]] = {}
    for name, *bin_ in rows:
        of_property.setdefault(name, []).append(LogitBin(*bin_))
    effects = [LogitEffects(neuron_id, name, tuple(bins)) for name, bins in of_property.items()]
    return sorted(effects, key=lambda effect: -effect.variance)
