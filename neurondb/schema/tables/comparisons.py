"""Models with the same layers and neurons, neuron by neuron: before and after fine-tuning.

A series, such as the checkpoints of a training, has no rows of its neurons: they are those of the
comparisons of its models, of each with the one before it and of each with the first.
"""

from sqlalchemy import Column, ForeignKey, Index, Integer, SmallInteger, Table, UniqueConstraint

from neurondb.schema.columns import (
    CLUSTERED,
    flag,
    identity,
    key,
    metadata,
    number,
    real,
    reference,
    word,
)


def _class(name: str, model: str) -> Column[int]:
    return Column(
        name,
        SmallInteger,
        ForeignKey("rw_classes.class_id"),
        comment=f"its read-write class in {model} when compared; NULL if it had none",
    )


comparisons = Table(
    "comparisons",
    metadata,
    identity("comparison_id", "comparison"),
    reference("model_a", "models.model_id", "model before: the one that the other came from"),
    reference("model_b", "models.model_id", "model after, of as many layers and neurons"),
    word("created_at", "UTC, ISO 8601"),
    word("tool_version", "version of neurondb"),
    real(
        "share_same_token",
        "share of neurons with the same top token of the LM-head decoding in both "
        "(specialised-feature-neurons §2), of those that have one in both; NULL if none has",
    ),
    UniqueConstraint("model_a", "model_b"),
)

comparison_neurons = Table(
    "comparison_neurons",
    metadata,
    key("comparison_id", "comparisons.comparison_id", "comparison"),
    Column("layer", Integer, primary_key=True, autoincrement=False, comment="layer, from 0"),
    Column("neuron", Integer, primary_key=True, autoincrement=False, comment="its number in it"),
    *(
        real(f"{vector}_cosine", f"cos({vector} of model_a, {vector} of model_b); NULL if {null}")
        for vector, null in (
            ("gate", "ungated or one is zero"),
            ("in", "one is zero"),
            ("out", "one is zero"),
        )
    ),
    flag("same_token", "whether the top token of the LM-head decoding is the same text in both"),
    _class("class_a", "model_a"),
    _class("class_b", "model_b"),
    real("moved", "1 − the smallest of the cosines there are; NULL if there is none"),
    Index(None, "comparison_id", "moved"),
    **CLUSTERED,
)

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
