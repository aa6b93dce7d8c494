"""What people and programs say of neurons, and what of it was taken back.

An annotation is told by its words (`neurondb.contracts.annotations`); its id is only a key. What
was removed leaves a digest, which a merge needs and which nobody can read.
"""

from sqlalchemy import Column, Index, Table, Text

from neurondb.schema.columns import CLUSTERED, identity, key, metadata, reference, word

annotations = Table(
    "annotations",
    metadata,
    identity("annotation_id", "annotation"),
    reference("neuron_id", "neurons.neuron_id", "neuron"),
    word("source", "who or what said it"),
    word("key", "what is said about; `list` puts the neuron on a list, `star` marks it"),
    Column("value", Text, comment="what is said; of `list`, the name of the list"),
    Column("note", Text, comment="free text"),
    word(
        "made_at",
        "when it was said: UTC, ISO 8601, to the microsecond; NULL where that is not known",
        nullable=True,
    ),
    Index(None, "neuron_id"),
    Index(None, "key"),
)

removed_annotations = Table(
    "removed_annotations",
    metadata,
    key("neuron_id", "neurons.neuron_id", "neuron"),
    Column(
        "digest",
        Text,
        primary_key=True,
        comment="sha256 over source, key, value and note of what was said; the words are gone",
    ),
    word("removed_at", "when it was removed: UTC, ISO 8601, to the microsecond"),
    **CLUSTERED,
)
