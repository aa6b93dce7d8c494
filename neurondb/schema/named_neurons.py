"""The view of neurons with their names: the one place where SQL makes a name.

A neuron's name is `L.N`, or `L.E.N` in a layer that is divided into experts. Everything that names
neurons reads this view instead of the table. It has one table and no condition, so that SQLite and
PostgreSQL put the table in its place: a question has the same plan, and a name is made only of rows
that are shown.
"""

from typing import Final

from sqlalchemy import Double, Integer, SmallInteger, String, column, table

_SELECT: Final = """
SELECT n.neuron_id, n.model_id, n.layer, n.neuron, n.expert, n.expert_neuron,
       n.layer || '.' || COALESCE(n.expert || '.' || n.expert_neuron, '' || n.neuron) AS name,
       n.sign, n.gate_norm, n.in_norm, n.out_norm, n.gate_bias, n.in_bias, n.penalty
FROM neurons n
"""

NAMED_NEURONS: Final = (
    "named_neurons",
    _SELECT,
    "A neuron by its name: layer.neuron, or layer.expert.number of a mixture of experts.",
)
"""Name, SELECT, what a row is."""

named_neurons: Final = table(
    "named_neurons",
    *(
        column(name, Integer)
        for name in ("neuron_id", "model_id", "layer", "neuron", "expert", "expert_neuron")
    ),
    column("name", String),
    column("sign", SmallInteger),
    *(
        column(name, Double)
        for name in ("gate_norm", "in_norm", "out_norm", "gate_bias", "in_bias", "penalty")
    ),
)
"""The view, for statements that are not written in SQL."""
