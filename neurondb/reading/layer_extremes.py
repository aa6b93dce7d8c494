"""The neurons of a layer that stand out."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float
from sqlalchemy import Connection

from neurondb.reading.figure_rows.cosines import cosines
from neurondb.reading.figure_rows.vocabulary import out_moments
from neurondb.reading.layer_table import fires
from neurondb.reading.models import Model
from neurondb.reading.neuron_lines import NeuronLine, neuron_lines

SHOWN: Final = 8


@dataclass(frozen=True)
class Extreme:
    """Neurons that have the most, or the least, of something.

    Attributes:
        order: key by which `find` orders them: `-freq`.
        neurons: the first ones; ties by neuron.
    """

    order: str
    neurons: tuple[NeuronLine, ...]


def layer_extremes(connection: Connection, model: Model, layer: int) -> tuple[Extreme, ...]:
    """Return the neurons with extreme cos(in, out), frequency and vocabulary kurtosis.

    What is not ingested has no list.
    """
    in_out = cosines(connection, model, layer)["in_out"][0]
    values = {"-in_out": in_out, "in_out": -in_out}
    values["-freq" if model.gated else "-post_positive"] = fires(connection, model, layer)[0]
    values["-out_kurtosis"] = out_moments(connection, model, layer)[1]
    first = model.first_neuron_id + layer * model.d_mlp
    chosen = {order: largest(found) for order, found in values.items()}
    ids = {first + place for places in chosen.values() for place in places}
    lines = {line.neuron_id: line for line in neuron_lines(connection, sorted(ids))}
    return tuple(
        Extreme(order, tuple(lines[first + i] for i in places if first + i in lines))
        for order, places in chosen.items()
        if places
    )


def largest(values: Float[np.ndarray, " neurons"], n: int = SHOWN) -> list[int]:
    """Return the places of the largest values, ties by place; NaN is none."""
    order = np.argsort(-values, kind="stable")[:n]
    return [int(place) for place in order if not np.isnan(values[place])]
