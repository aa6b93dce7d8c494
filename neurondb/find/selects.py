"""The SELECTs of the neurons that an index lists: by a token, a property, an effect.

Each is filled in by `compiler.py`; tokens and neurons are joined within each model.
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

BY_EFFECT: Final = """
    SELECT e.neuron_id
    FROM models m
    JOIN {table} e ON e.run_id = m.{run} AND e.metric = '{metric}'
    WHERE {{fits}}"""
