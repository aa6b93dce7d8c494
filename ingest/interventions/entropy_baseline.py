"""Random neurons to compare entropy neurons with (universal-neurons §5.2)."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from sqlalchemy import Connection, select

from neurondb.errors import IngestError, UnknownNameError
from neurondb.formatting.text import format_ingest_command
from neurondb.neurons import NeuronPlace
from neurondb.reading.models import Model
from neurondb.schema import tables
from neurondb.schema.codes import VECTORS

N_LAST_LAYERS = 2
"""The last ones, of which the random neurons are."""
DECILE = 0.1


def draw_neurons(
    connection: Connection, model: Model, n: int, seed: int, excluded: Collection[NeuronPlace]
) -> tuple[NeuronPlace, ...]:
    """Draw random neurons of the last two layers that could be no entropy neurons.

    Neither in the top decile of ‖out‖ nor in the bottom decile of the variance of the logit effect,
    cos(U, out); a neuron without out, which has none, is not drawn either. All that remain where
    they are fewer than `n`.

    Args:
        connection: the database.
        model: the model whose neurons are drawn.
        n: how many neurons to draw.
        seed: the seed of the draw.
        excluded: neurons that are not drawn.

    Raises:
        IngestError: when the stage vocab has not stored the variances.
        UnknownNameError: when none remains.
    """
    if n == 0:
        return ()
    c, v = tables.neurons.c, tables.vocab_stat_rows.c
    rows = connection.execute(
        select(c.layer, c.neuron, c.out_norm, v.variance)
        .join(
            tables.vocab_stat_rows,
            (v.neuron_id == c.neuron_id) & (v.vector_id == VECTORS.index("out")),
        )
        .where(c.model_id == model.model_id, c.layer >= model.n_layers - N_LAST_LAYERS)
        .where(v.variance.is_not(None), c.out_norm.is_not(None))
        .order_by(c.layer, c.neuron)
    ).all()
    if not rows:
        raise IngestError(
            f"{model.name} has no moments over the vocabulary: run "
            f"`{format_ingest_command(model.name, model.source, 'vocab')}`"
        )
    norm, variance = (np.array([row[i] for row in rows], dtype=np.float64) for i in (2, 3))
    ordinary = (norm <= np.quantile(norm, 1 - DECILE)) & (variance >= np.quantile(variance, DECILE))
    places = [NeuronPlace(row.layer, row.neuron) for row in rows]
    remaining = [i for i in np.flatnonzero(ordinary) if places[i] not in excluded]
    if not remaining:
        raise UnknownNameError(f"no neuron of {model.name} is left to compare with")
    drawn = np.random.default_rng(seed).choice(remaining, min(n, len(remaining)), replace=False)
    return tuple(places[i] for i in np.sort(drawn))
