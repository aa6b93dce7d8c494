"""Models of one shape in the order of their making: checkpoints of a training, quantisations.

A series has no rows of its neurons: they are those of the comparisons of its models, of each with
the one before it and of each with the first.
"""

from sqlalchemy import Index, Table

from neurondb.schema.columns import identity, key, metadata, number, reference, word

series = Table(
    "series",
    metadata,
    identity("series_id", "series"),
    word("created_at", "UTC, ISO 8601"),
    word("tool_version", "version of neurondb"),
)

series_models = Table(
    "series_models",
    metadata,
    key("series_id", "series.series_id", "series"),
    number("step", "place of the model in it; 0 is the first"),
    reference("model_id", "models.model_id", "model"),
    Index(None, "model_id"),
)
