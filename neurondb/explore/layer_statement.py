"""The statement behind the scatter of a layer, which three pages draw."""

from typing import Final

from neurondb.explore.page import Sql

STATEMENT: Final = """SELECT n.layer || '.' || n.neuron AS name, c.gate_out, c.in_out, c.gate_in
FROM neurons n
JOIN cosines c ON c.neuron_id = n.neuron_id
WHERE n.model_id = :model_id AND n.layer = :layer"""


def layer_sql(model_id: int, layer: int) -> Sql:
    """Return the statement of a layer's cosines."""
    given = {"model_id": model_id, "layer": layer}
    return Sql(f"the cosines of layer {layer}", STATEMENT, given)
