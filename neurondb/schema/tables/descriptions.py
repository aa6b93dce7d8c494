"""One line a neuron on what it does, and what these lines were made of."""

from sqlalchemy import Column, Table, Text

from neurondb.schema.columns import key, metadata, word

descriptions = Table(
    "descriptions",
    metadata,
    key("neuron_id", "neurons.neuron_id", "neuron"),
    Column(
        "text",
        Text,
        nullable=False,
        comment="what stands out of what is stored of it, the most telling first, with numbers",
    ),
)
"""Not clustered: the full-text index refers to rows by their number."""

description_runs = Table(
    "description_runs",
    metadata,
    key("model_id", "models.model_id", "model whose descriptions were composed"),
    word("basis", "sha256 over what was stored then: another one now means that they are stale"),
    word("tool_version", "version of neurondb"),
    word("created_at", "UTC, ISO 8601"),
)
