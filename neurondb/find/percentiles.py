"""Percentiles: `pct(out_norm)` is where a neuron stands in its layer by a number, from 0 to 1.

It is the percent rank of SQL, (rank − 1) / (n − 1), among the n neurons of the model's layer whose
number is known: 0 for the smallest, 1 for the largest, equal ones share the lower rank. A statement
that names one ranks whole layers first, in a common table expression of the percentile's name:
those layers that all terms of the question leave, however few neurons of them the others leave.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from neurondb.errors import ExpressionError
from neurondb.find.case_columns import parse_derived_column
from neurondb.find.terms import (
    Between,
    Compare,
    Expression,
    Missing,
    OneOf,
    Place,
    Places,
    iterate_conjuncts,
    iterate_terms,
)
from neurondb.name_matching import quote_word, suggest_names
from neurondb.schema.percentiles import RANKED_COLUMNS

_SPELLED: Final = re.compile(r"pct\((?P<key>.*)\)", re.IGNORECASE | re.DOTALL)
_LAYER_COLUMNS: Final = frozenset(("model", "layer"))

_RANKED: Final = """"{name}" AS MATERIALIZED (
    SELECT neuron_id AS id,
           PERCENT_RANK() OVER (PARTITION BY model, layer ORDER BY {value}) AS percentile
    FROM neuron_overview
    WHERE {value} IS NOT NULL{layers}
)"""
_JOINED: Final = '\nLEFT JOIN "{name}" ON "{name}".id = neuron_id'


def get_ranked_key(key: str) -> str | None:
    """Return the key in `pct(…)`; None for another key."""
    match = _SPELLED.fullmatch(key)
    return None if match is None else match["key"].strip()


def get_base_column(column: str) -> str:
    """Return the column whose absolute value, or percentile, another one is; else itself."""
    ranked = get_ranked_key(column)
    return (column if ranked is None else ranked).strip("|")


def format_percentile(key: str, ranked: str, column: str | None) -> str:
    """Return the name of the percentile of a column.

    Args:
        key: The percentile as it was written.
        ranked: What stood in its parentheses.
        column: The column that this means; None where it means none.

    Raises:
        ExpressionError: when it means none, or one by which neurons have no order.
    """
    if column is None:
        hint = suggest_names(ranked, RANKED_COLUMNS)
        raise ExpressionError(
            f"{quote_word(key)}: {quote_word(ranked)} is no number of a neuron{hint}"
        )
    base = get_base_column(column)
    if get_ranked_key(column) is not None:
        raise ExpressionError(f"{quote_word(key)}: a percentile has no percentile of its own")
    if base not in RANKED_COLUMNS and parse_derived_column(base) is None:
        raise ExpressionError(
            f"{quote_word(key)}: {base} has no percentiles, it orders no neurons of a layer; they "
            "are of norms, cosines, frequencies and other measures, as pct(out_norm)"
        )
    return f"pct({column})"


def write_percentile(column: str) -> str:
    """Return the SQL of a percentile, where its ranks have been joined."""
    return f'"{column}".percentile'


def list_percentiles(columns: Iterable[str], *expressions: Expression) -> tuple[str, ...]:
    """Return the percentiles among columns, and those that terms are on, each once."""
    of_terms = (
        term.column
        for expression in expressions
        for term in iterate_terms(expression)
        if isinstance(term, Compare | Between | OneOf | Missing)
    )
    names = (column.strip("|") for column in (*columns, *of_terms))
    return tuple(dict.fromkeys(name for name in names if get_ranked_key(name) is not None))


def write_source(percentiles: Sequence[str]) -> str:
    """Return what stands behind FROM: neuron_overview, with the ranks of its neurons."""
    return "neuron_overview" + "".join(_JOINED.format(name=name) for name in percentiles)


def write_ranks(
    percentiles: Sequence[str],
    expression: Expression,
    compile_condition: Callable[[Expression], str],
    write_column: Callable[[str], str],
) -> list[str]:
    """Return a common table expression for each percentile: the ranks of whole layers.

    Args:
        percentiles: Names of percentiles.
        expression: What was asked; of its terms, those on models and layers choose what is ranked.
        compile_condition: Returns the SQL of a term.
        write_column: Returns the SQL of a column.
    """
    if not percentiles:  # each term that is compiled binds parameters
        return []
    layers = "".join(f" AND {compile_condition(term)}" for term in _list_layer_terms(expression))
    return [
        _RANKED.format(name=name, value=write_column(str(get_ranked_key(name))), layers=layers)
        for name in percentiles
    ]


def _list_layer_terms(expression: Expression) -> Iterator[Expression]:
    """Yield terms that must hold and say which models and layers a neuron can be of."""
    for part in iterate_conjuncts(expression):
        match part:
            case Place(layer, _):
                yield OneOf("layer", (layer,))
            case Places(places):
                yield OneOf("layer", tuple(dict.fromkeys(place.layer for place in places)))
            case _ if (terms := list(iterate_terms(part))) and all(map(_is_on_layers, terms)):
                yield part


def _is_on_layers(term: Expression) -> bool:
    return isinstance(term, Compare | Between | OneOf) and term.column in _LAYER_COLUMNS
