"""How a mixture of experts routes the tokens of a dataset."""

from sqlalchemy import Column, Integer, Table

from neurondb.schema.columns import CLUSTERED, integer, key, metadata, real

expert_routing = Table(
    "expert_routing",
    metadata,
    key("model_id", "models.model_id", "model"),
    key("dataset_id", "dataset_rows.dataset_id", "dataset"),
    Column("layer", Integer, primary_key=True, autoincrement=False, comment="layer"),
    Column(
        "expert",
        Integer,
        primary_key=True,
        autoincrement=False,
        comment="expert, from 0; the shared one is the last",
    ),
    integer("n_tokens", "counted tokens that were routed to it"),
    integer("n_all_tokens", "counted tokens of the dataset"),
    real(
        "share",
        "share of the counted tokens that were routed to it; NULL when none was counted",
    ),
    real(
        "mean_weight",
        "mean of what the router multiplied its output by, over the tokens routed to it; NULL when "
        "there is none, and of the shared expert",
    ),
    **CLUSTERED,
)
"""Statistics of a neuron of an expert are over the tokens routed to it; times `share`, frequencies
are those of all tokens. Layers that are not divided have no rows."""
