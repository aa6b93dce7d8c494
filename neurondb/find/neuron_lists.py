"""SELECTs of neurons that a condition lists: those at places, and those with an effect."""

import json
from collections.abc import Callable, Sequence
from typing import Final

from neurondb.find.terms import Place
from neurondb.schema.views import EFFECT_COLUMNS

_BY_EFFECT: Final = """
    SELECT e.neuron_id
    FROM models m
    JOIN {table} e ON e.run_id = m.{run} AND e.metric = '{metric}'
    WHERE {{fits}}"""

# One value however long the list is: {"31.9634": 31000009634, …}, which SQLite and PostgreSQL read
# alike. The second number is layer · 10⁹ + neuron.
_BY_PLACE: Final = """
    SELECT m.first_neuron_id + l.layer * m.d_mlp + l.neuron
    FROM (
        SELECT place / {base} AS layer, place % {base} AS neuron
        FROM (SELECT CAST(CAST(value AS TEXT) AS BIGINT) AS place FROM json_each({listed})) AS p
    ) AS l
    JOIN models m ON l.layer < m.n_layers AND l.neuron < m.d_mlp"""
_PLACE_BASE: Final = 10**9


def select_places(places: Sequence[Place], bind: Callable[[str], str]) -> str:
    """Return the SELECT of the neurons at places, in every model that has them."""
    codes = {
        f"{place.layer}.{place.neuron}": place.layer * _PLACE_BASE + place.neuron
        for place in places
        if max(place.layer, place.neuron) < _PLACE_BASE  # no model is larger
    }
    return _BY_PLACE.format(base=_PLACE_BASE, listed=bind(json.dumps(codes)))


def select_by_effect(column: str) -> str | None:
    """Return a SELECT of neurons by an effect, with a condition on `e.mean` to fill in at `{fits}`.

    It is None where the column is no effect of removing a neuron.
    """
    place = EFFECT_COLUMNS.get(column)
    if place is None:
        return None
    table, run, metric = place
    return _BY_EFFECT.format(table=table, run=run, metric=metric)
