"""The properties of tokens that a layer's neurons promote or suppress far more than others do."""

from collections.abc import Iterator
from itertools import groupby
from statistics import NormalDist
from typing import Final, TypeAlias

from sqlalchemy import Connection, func, select

from neurondb.describing.evidence import Effect
from neurondb.reading.models import Model, match_neurons
from neurondb.schema import tables

LEAST_SIZE: Final = 5.0
"""Standard deviations over neurons that an effect exceeds to be named."""
MOST_EFFECTS: Final = 2
EffectScale: TypeAlias = dict[int, tuple[str, float]]
"""Property → its name, and the standard deviation of effects on it over neurons."""


def read_effect_scale(connection: Connection, model: Model) -> EffectScale:
    """Return how effects on each property spread over the neurons of a model.

    Stored are only effects above some size: the standard deviation is that of the Gaussian of
    which as large a share is above the smallest stored one. It is larger than that of random
    directions where many neurons act on the property.
    """
    e, p = tables.property_effects.c, tables.properties.c
    rows = connection.execute(
        select(p.property_id, p.name, func.min(func.abs(e.effect)), func.count())
        .join_from(tables.property_effects, tables.properties, p.property_id == e.property_id)
        .where(match_neurons(e.neuron_id, model))
        .group_by(p.property_id, p.name)
    )
    scale: EffectScale = {}
    for property_id, name, least, n in rows:
        share = min(n / model.n_neurons, 0.9)
        scale[property_id] = name, least / NormalDist().inv_cdf(1 - share / 2)
    return scale


def read_effects(
    connection: Connection, model: Model, layer: int, scale: EffectScale
) -> Iterator[tuple[int, tuple[Effect, ...]]]:
    """Yield (neuron, its strongest effects) for each neuron of a layer that has strong ones."""
    if not scale:
        return
    e = tables.property_effects.c
    least = min(deviation for _, deviation in scale.values()) * LEAST_SIZE
    rows = connection.execute(
        select(e.neuron_id, e.property_id, e.effect)
        .where(match_neurons(e.neuron_id, model, layer), func.abs(e.effect) > least)
        .order_by(e.neuron_id, e.property_id)
    )
    first = model.first_neuron_id + layer * model.d_mlp
    for neuron_id, of_neuron in groupby(rows, key=lambda row: row[0]):
        found = []
        for _, property_id, effect in of_neuron:
            name, deviation = scale[property_id]
            if abs(effect) > LEAST_SIZE * deviation:
                found.append(Effect(name, effect, abs(effect) / deviation))
        if found:
            found.sort(key=lambda one: (-one.size, one.name))
            yield neuron_id - first, tuple(found[:MOST_EFFECTS])
