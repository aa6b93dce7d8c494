"""Parts of conditions: the neurons at places, those with an effect, those with a text.

Each is SQL on tables beneath neuron_overview, for which a column of the view would cost too much.
"""

import json
from collections.abc import Sequence
from typing import Final

from neurondb.find.condition_columns import parse_condition_column
from neurondb.find.terms import HasText, Place
from neurondb.full_text import Bind, write_condition
from neurondb.schema.views import EFFECT_COLUMNS

_BY_EFFECT: Final = """
    SELECT e.neuron_id
    FROM models m
    JOIN {table} e ON e.run_id = m.{run} AND e.metric = '{metric}'
    WHERE {{fits}}"""

_BY_JACCARD: Final = """
    SELECT e.neuron_id
    FROM (SELECT d.neuron_id, d.jaccard AS mean FROM double_checking d) e
    WHERE {fits}"""

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

# Those of experts, as {"3.5.963": layer · 10¹⁴ + expert · 10⁹ + number}. The id is that of a neuron
# of this expert only where the layer is divided, and the expert has so many.
_BY_EXPERT: Final = """
    SELECT n.neuron_id
    FROM (
        SELECT place / {base} / {experts} AS layer, place / {base} % {experts} AS expert,
               place % {base} AS neuron
        FROM (SELECT CAST(CAST(value AS TEXT) AS BIGINT) AS place FROM json_each({listed})) AS p
    ) AS l
    JOIN models m ON l.layer < m.n_layers
    JOIN neurons n
      ON n.neuron_id = m.first_neuron_id + l.layer * m.d_mlp + l.expert * m.d_expert + l.neuron
     AND n.layer = l.layer AND n.expert = l.expert"""
_EXPERT_BASE: Final = 10**5

# A neuron's examples are looked through until one fits: no index leads from a text to them. Where
# no text fits at all, none is looked at.
_BY_TEXT: Final = """(
    EXISTS (SELECT 1 FROM texts t WHERE {contains}) AND EXISTS (
        SELECT 1
        FROM example_rows r
        WHERE r.neuron_id = neuron_overview.neuron_id{lists}{dataset}
          AND r.text_id IN (SELECT t.text_id FROM texts t WHERE {contains})
    ))"""


def select_places(places: Sequence[Place], bind: Bind) -> str:
    """Return the SELECT of the neurons at places, in every model that has them."""
    codes = {
        f"{place.layer}.{place.neuron}": place.layer * _PLACE_BASE + place.neuron
        for place in places
        if place.expert is None
        and max(place.layer, place.neuron) < _PLACE_BASE  # no model is larger
    }
    selects = [_BY_PLACE.format(base=_PLACE_BASE, listed=bind(json.dumps(codes)))] if codes else []
    experts = {
        f"{place.layer}.{place.expert}.{place.neuron}": (
            (place.layer * _EXPERT_BASE + place.expert) * _PLACE_BASE + place.neuron
        )
        for place in places
        if place.expert is not None
        and max(place.layer, place.expert) < 9 * 10**4
        and place.neuron < _PLACE_BASE
    }
    if experts or not selects:
        listed = bind(json.dumps(experts))
        selects.append(_BY_EXPERT.format(base=_PLACE_BASE, experts=_EXPERT_BASE, listed=listed))
    return "\n    UNION ALL".join(selects)


def select_by_effect(column: str) -> str | None:
    """Return a SELECT of neurons by an effect, with a condition on `e.mean` to fill in at `{fits}`.

    The overlap of token lists has an index too. It is None where a column has none of its own.
    """
    if column == "jaccard":
        return _BY_JACCARD
    if not column.startswith("|") and (effect := parse_condition_column(column)) is not None:
        return effect.neurons_sql
    place = EFFECT_COLUMNS.get(column)
    if place is None:
        return None
    table, run, metric = place
    return _BY_EFFECT.format(table=table, run=run, metric=metric)


def write_text_condition(term: HasText, bind: Bind) -> str:
    """Return the condition of the term on a row of neuron_overview.

    Args:
        term: The term.
        bind: Takes the value of a parameter, and returns how the statement refers to it.
    """
    lists = f" AND r.list_id IN ({', '.join(map(str, term.lists))})" if term.lists else ""
    dataset = ""
    if term.dataset is not None:
        named = f"SELECT d.dataset_id FROM dataset_rows d WHERE d.name = {bind(term.dataset)}"  # noqa: S608
        dataset = f" AND r.dataset_id = ({named})"
    contains = write_condition("texts", "t", (term.phrase,), bind, server=term.server)
    return _BY_TEXT.format(contains=contains, lists=lists, dataset=dataset)
