"""The tokens of neurons' vectors as list columns of a result: `db.find(…, token_lists=8)`."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, Final

from sqlalchemy import Engine, bindparam, text

from neurondb.database import format_url, translate_errors
from neurondb.sql import Rows

NEURON_ID: Final = "neuron_id"
ROWS_AT_A_TIME: Final = 500
"""Rows of a result whose lists are read together."""
SIDES: Final = tuple(
    (vector, direction) for vector in ("gate", "in", "out") for direction in ("top", "bottom")
)
"""Vectors, and the tokens most along each and most against it."""
_LISTS: Final = text(
    """
    SELECT t.neuron_id, t.vector, t.direction, COALESCE(v.token, '#' || t.token_id) AS token
    FROM top_tokens t
    JOIN neurons n ON n.neuron_id = t.neuron_id
    LEFT JOIN tokens v ON v.model_id = n.model_id AND v.token_id = t.token_id
    WHERE t.neuron_id IN :neurons AND t.basis = 'unembed' AND t.rank < :tokens
    ORDER BY t.neuron_id, t.vector, t.direction, t.rank"""
).bindparams(bindparam("neurons", expanding=True))


def add_token_lists(engine: Engine, rows: Rows, tokens: int) -> Rows:
    """Return rows with six further columns: `gate_top_tokens`, `gate_bottom_tokens` and so on.

    A list has the texts of tokens, the first one most along the vector in the unembedding, or most
    against it. It is None where the vocabulary was not ingested, and of a gate that there is not.

    Args:
        engine: The database.
        rows: Rows with a column `neuron_id`.
        tokens: Tokens a list at most.
    """
    names = (f"{vector}_{direction}_tokens" for vector, direction in SIDES)
    return Rows((*rows.columns, *names), _extend_rows(engine, rows, tokens))


def _extend_rows(engine: Engine, rows: Rows, tokens: int) -> Iterator[tuple[Any, ...]]:
    place = rows.columns.index(NEURON_ID)
    while batch := list(islice(rows.rows, ROWS_AT_A_TIME)):
        lists = _read_lists(engine, [row[place] for row in batch], tokens)
        for row in batch:
            of_neuron = lists.get(row[place], {})
            yield (*row, *(of_neuron.get(side) for side in SIDES))


def _read_lists(
    engine: Engine, neuron_ids: Sequence[int], tokens: int
) -> dict[int, dict[tuple[str, str], list[str]]]:
    """Return neuron → vector and direction → tokens in order."""
    lists: dict[int, dict[tuple[str, str], list[str]]] = defaultdict(lambda: defaultdict(list))
    with translate_errors(format_url(engine.url)), engine.connect() as connection:
        found = connection.execute(_LISTS, {"neurons": list(neuron_ids), "tokens": tokens})
        for neuron_id, vector, direction, token in found:
            lists[neuron_id][vector, direction].append(token)
    return {neuron_id: dict(sides) for neuron_id, sides in lists.items()}
