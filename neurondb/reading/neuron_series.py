"""A neuron's way through the series of models that its model is part of."""

from dataclasses import dataclass
from itertools import groupby
from typing import Final, NamedTuple

from sqlalchemy import Connection, text

from neurondb.reading.models import Model
from neurondb.reading.series import list_stored_series

MOST_ALONE: Final = 6
"""Members that are shown one by one; in a longer series those that keep a class are drawn together.
"""
_MEMBERS: Final = """
SELECT step, model, class, moved, first_moved
FROM series_neurons
WHERE series_id = :series_id AND layer = :layer AND neuron = :neuron
ORDER BY step"""


@dataclass(frozen=True)
class Member:
    """A neuron in a model of a series.

    Attributes:
        step: the model's place; 0 is the first.
        class_name: its class there; None where it has none.
        moved: 1 − the smallest cosine of its vectors with those in the model before; None at step
            0, and of a zero vector.
        first_moved: the same with the first model.
    """

    step: int
    model: str
    class_name: str | None
    moved: float | None
    first_moved: float | None


class Stretch(NamedTuple):
    """Members of a series, one after the other, that a neuron has one class in.

    Attributes:
        first: the name of the first of the models.
        last: that of the last; the same where there is one.
        moved: the furthest that it moved in a step into one of them; None where none has a cosine.
    """

    first: str
    last: str
    class_name: str | None
    moved: float | None


@dataclass(frozen=True)
class NeuronSeries:
    """A neuron in every model of a stored series."""

    series_id: int
    members: tuple[Member, ...]

    @property
    def moved(self) -> float | None:
        """How far it is in the last model from where it began."""
        return self.members[-1].first_moved

    @property
    def stretches(self) -> tuple[Stretch, ...]:
        """Its members; those of a long series that keep a class as one."""
        if len(self.members) <= MOST_ALONE:
            return tuple(_join([one]) for one in self.members)
        by_class = groupby(self.members, lambda one: one.class_name)
        return tuple(_join(list(some)) for _, some in by_class)


def _join(members: list[Member]) -> Stretch:
    moved = [one.moved for one in members if one.moved is not None]
    first, last = members[0], members[-1]
    return Stretch(first.model, last.model, first.class_name, max(moved, default=None))


def list_neuron_series(
    connection: Connection, model: Model, layer: int, neuron: int
) -> tuple[NeuronSeries, ...]:
    """Return a neuron's way through each series that its model is part of, the newest first."""
    found = []
    for series in list_stored_series(connection, model):
        values = {"series_id": series.series_id, "layer": layer, "neuron": neuron}
        members = tuple(Member(*row) for row in connection.execute(text(_MEMBERS), values))
        if members:
            found.append(NeuronSeries(series.series_id, members))
    return tuple(found)
