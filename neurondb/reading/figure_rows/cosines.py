"""The three cosines of all neurons, and the regions that random ones fill (METHODS §2, §3)."""

from typing import Final, NamedTuple

import numpy as np
from jaxtyping import Float
from sqlalchemy import Connection, select

from neurondb.reading.figure_rows.neuron_values import neuron_values
from neurondb.reading.models import Model
from neurondb.schema import tables

PAIRS: Final = ("in_out", "gate_out", "gate_in")
"""In the order in which figures show them; ungated models have the first only."""


class Region(NamedTuple):
    """Where 95% of random cosines lie."""

    low: float
    high: float


def pairs_of(model: Model) -> tuple[str, ...]:
    """Return the pairs of vectors that a model's neurons have."""
    return PAIRS if model.gated else PAIRS[:1]


def cosines(
    connection: Connection, model: Model, layer: int | None = None
) -> dict[str, Float[np.ndarray, "layers neurons"]]:
    """Return pair → cosines, of one layer or of all; NaN where there is none."""
    pairs = pairs_of(model)
    columns = [tables.cosines.c[pair] for pair in pairs]
    return dict(zip(pairs, neuron_values(connection, model, columns, layer=layer), strict=True))


def regions(connection: Connection, model: Model) -> dict[tuple[int, str, str], Region]:
    """Return (layer, pair, kind) → random region, of kind gaussian or mismatched."""
    b = tables.baselines.c
    rows = connection.execute(
        select(b.layer, b.pair, b.kind, b.low, b.high).where(b.model_id == model.model_id)
    )
    return {(row.layer, row.pair, row.kind): Region(row.low, row.high) for row in rows}


def best_region(
    found: dict[tuple[int, str, str], Region], layer: int, pair: str
) -> tuple[Region, str] | None:
    """Return the mismatched region of a layer, else the gaussian one; with its kind."""
    for kind in ("mismatched", "gaussian"):
        if (layer, pair, kind) in found:
            return found[layer, pair, kind], kind
    return None
