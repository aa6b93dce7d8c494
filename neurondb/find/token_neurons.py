"""The SELECT of the neurons that have a token in a list of theirs (METHODS §4, §5).

The token is looked up first, then the index of the lists by token; of a model, neurons' ids are one
range.
"""

from collections.abc import Callable
from typing import Final

from neurondb.find.terms import HasPeak, HasToken
from neurondb.sql.running import Value

_BY_TOP_LIST: Final = """
    SELECT r.neuron_id
    FROM tokens t
    JOIN models m ON m.model_id = t.model_id
    JOIN top_token_rows r ON r.token_id = t.token_id AND r.list_id IN ({lists}){rank}
     AND r.neuron_id >= m.first_neuron_id
     AND r.neuron_id < m.first_neuron_id + m.n_layers * m.d_mlp
    WHERE t.{column} = {token}"""

ON_SHOWN_DATASET: Final = "r.dataset_id = m.dataset_id"
"""Condition of rows of the dataset that pages show."""
_BY_PEAK: Final = f"""
    SELECT r.neuron_id
    FROM tokens t
    JOIN models m ON m.model_id = t.model_id
    JOIN peak_token_rows r ON r.token_id = t.token_id AND r.list_id IN ({{lists}}){{rank}}
     AND r.neuron_id >= m.first_neuron_id
     AND r.neuron_id < m.first_neuron_id + m.n_layers * m.d_mlp
     AND {ON_SHOWN_DATASET}
    WHERE t.{{column}} = {{token}}"""  # noqa: S608

_BY_LM_HEAD: Final = """
    SELECT h.neuron_id
    FROM tokens t
    JOIN models m ON m.model_id = t.model_id
    JOIN lm_head_tokens h ON h.token_id = t.token_id
     AND h.neuron_id >= m.first_neuron_id
     AND h.neuron_id < m.first_neuron_id + m.n_layers * m.d_mlp
    WHERE t.{column} = {token}"""


def select_token_neurons(term: HasToken | HasPeak, bind: Callable[[Value], str]) -> str:
    """Return the SELECT of the neurons with a token in lists, among firings, or of the LM head."""
    column = "token_id" if isinstance(term.token, int) else "token"
    if not term.lists:
        return _BY_LM_HEAD.format(column=column, token=bind(term.token))
    lists = ", ".join(map(str, term.lists))
    rank = "" if term.within is None else f" AND r.rank < {bind(term.within)}"
    by_list = _BY_PEAK if isinstance(term, HasPeak) else _BY_TOP_LIST
    return by_list.format(lists=lists, rank=rank, column=column, token=bind(term.token))
