"""SELECTs of the neurons that have a token in a list, or an effect, which indexes answer.

`{column}` is token or token_id and `{token}` its value; `{lists}` are codes of lists, and `{rank}`
a condition on the place in them.
"""

from typing import Final

BY_TOP_LIST: Final = """
    SELECT r.neuron_id
    FROM tokens t
    JOIN models m ON m.model_id = t.model_id
    JOIN top_token_rows r ON r.token_id = t.token_id AND r.list_id IN ({lists}){rank}
     AND r.neuron_id >= m.first_neuron_id
     AND r.neuron_id < m.first_neuron_id + m.n_layers * m.d_mlp
    WHERE t.{column} = {token}"""

ON_SHOWN_DATASET: Final = "r.dataset_id = m.dataset_id"
"""Which of a neuron's peak tokens are meant; where a question names a dataset, replaced."""

BY_PEAK: Final = f"""
    SELECT r.neuron_id
    FROM tokens t
    JOIN models m ON m.model_id = t.model_id
    JOIN peak_token_rows r ON r.token_id = t.token_id AND r.list_id IN ({{lists}}){{rank}}
     AND r.neuron_id >= m.first_neuron_id
     AND r.neuron_id < m.first_neuron_id + m.n_layers * m.d_mlp
     AND {ON_SHOWN_DATASET}
    WHERE t.{{column}} = {{token}}"""  # noqa: S608

BY_LM_HEAD: Final = """
    SELECT h.neuron_id
    FROM tokens t
    JOIN models m ON m.model_id = t.model_id
    JOIN lm_head_tokens h ON h.token_id = t.token_id
     AND h.neuron_id >= m.first_neuron_id
     AND h.neuron_id < m.first_neuron_id + m.n_layers * m.d_mlp
    WHERE t.{column} = {token}"""

# A property is the same to all models; the index by property and effect has the neurons too.
BY_PROPERTY: Final = """
    SELECT e.neuron_id
    FROM properties y
    JOIN property_effects e ON e.property_id = y.property_id
    WHERE y.name = {name} AND {strength}"""
