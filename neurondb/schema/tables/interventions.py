"""Sets of neurons, interventions on them, and what people say of neurons."""

from sqlalchemy import Column, Index, String, Table, Text

from neurondb.schema.columns import identity, integer, key, real, reference, word
from neurondb.schema.metadata import CLUSTERED, metadata

neuron_sets = Table(
    "neuron_sets",
    metadata,
    identity("set_id", "set"),
    word("name", "name", nullable=True),
    Column("definition", Text, nullable=False, comment="the SQL or expression that made it"),
)

neuron_set_members = Table(
    "neuron_set_members",
    metadata,
    key("set_id", "neuron_sets.set_id", "set"),
    key("neuron_id", "neurons.neuron_id", "member"),
    **CLUSTERED,
)

ablation_runs = Table(
    "ablation_runs",
    metadata,
    identity("run_id", "run"),
    reference("model_id", "models.model_id", "model"),
    reference("dataset_id", "dataset_rows.dataset_id", "dataset"),
    reference("set_id", "neuron_sets.set_id", "neurons intervened on"),
    word("mode", "zero, mean, fix or clamp (METHODS §6)"),
    word("condition", "signs under which the intervention acts", nullable=True),
    real("value", "value of fix and clamp"),
    reference("baseline_of", "ablation_runs.run_id", "run it is the baseline of", nullable=True),
    integer("seed", "seed of a random set", nullable=True),
)

ablation_results = Table(
    "ablation_results",
    metadata,
    key("run_id", "ablation_runs.run_id", "run"),
    Column("metric", String, primary_key=True, comment="loss, entropy, rank or scale"),
    Column("filter", String, primary_key=True, comment="all tokens, or those that changed"),
    integer("n", "tokens"),
    *(
        real(name, f"{name} of clean − ablated")
        for name in ("mean", "std", "q25", "q50", "q75", "min", "max")
    ),
    real("clean_mean", "mean of the clean run"),
    real("ablated_mean", "mean of the ablated run"),
    **CLUSTERED,
)

annotations = Table(
    "annotations",
    metadata,
    identity("annotation_id", "annotation"),
    reference("neuron_id", "neurons.neuron_id", "neuron"),
    word("source", "who or what said it"),
    word("key", "what is said about"),
    Column("value", Text, comment="what is said"),
    Column("note", Text, comment="free text"),
    Index(None, "neuron_id"),
    Index(None, "key"),
)
