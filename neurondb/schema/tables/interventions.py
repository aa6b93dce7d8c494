"""Sets of neurons, and interventions on them."""

from sqlalchemy import Boolean, Column, Double, Index, Integer, String, Table, Text, true

from neurondb.schema.columns import (
    CLUSTERED,
    flag,
    identity,
    integer,
    key,
    metadata,
    real,
    reference,
    word,
)

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
    Column(
        "hook",
        String,
        nullable=False,
        server_default="hook_post",
        comment="what was set: hook_post, or hook_pre_linear of clamp",
    ),
    integer("n_texts", "texts run: the first so many of the dataset", nullable=True),
    integer("n_tokens", "tokens counted", nullable=True),
    integer("max_len", "tokens a text at most, the prefix token included", nullable=True),
    flag("skip_bos", "whether the first position of each text was left out of the counts"),
    reference(
        "means_dataset_id",
        "dataset_rows.dataset_id",
        "dataset whose activations gave the values of mode mean",
        nullable=True,
    ),
    word("dtype", "dtype of the forward pass", nullable=True),
    word("device", "device", nullable=True),
    word("tool_version", "version of neurondb", nullable=True),
    word("torch_version", "version of torch", nullable=True),
    word("fingerprint", "fingerprint of the model's weights", nullable=True),
    word("created_at", "UTC, ISO 8601", nullable=True),
    Column(
        "kind",
        String,
        nullable=False,
        server_default="together",
        comment="together: all neurons of the set at once; each: one after the other "
        "(neuron_effects); attribution: first-order estimates (neuron_attributions)",
    ),
    Column(
        "finished",
        Boolean,
        nullable=False,
        server_default=true(),
        comment="whether it has gone through all of its neurons",
    ),
    real("seconds", "seconds that the forward passes took; NULL if unknown"),
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

ablation_histograms = Table(
    "ablation_histograms",
    metadata,
    key("run_id", "ablation_runs.run_id", "run"),
    Column("metric", String, primary_key=True, comment="loss, entropy, rank or scale"),
    Column(
        "low",
        Double,
        primary_key=True,
        autoincrement=False,
        comment="lower edge of a bin of clean − ablated",
    ),
    real("high", "upper edge; an edge belongs to the bin beyond it, seen from 0", nullable=False),
    integer("n", "tokens in the bin; those that did not change are in none"),
    **CLUSTERED,
)

neuron_effects = Table(
    "neuron_effects",
    metadata,
    key("run_id", "ablation_runs.run_id", "run of kind each"),
    Column("metric", String, primary_key=True, comment="loss, entropy, rank or scale"),
    key("neuron_id", "neurons.neuron_id", "neuron, intervened on alone"),
    integer("n", "tokens"),
    real("mean", "mean of clean − ablated"),
    real("std", "standard deviation of clean − ablated over the tokens"),
    real("changed", "share of tokens at which it is not 0"),
    Index(None, "run_id", "metric", "mean"),
    **CLUSTERED,
)

neuron_attributions = Table(
    "neuron_attributions",
    metadata,
    key("run_id", "ablation_runs.run_id", "run of kind attribution"),
    Column("metric", String, primary_key=True, comment="loss or entropy"),
    key("neuron_id", "neurons.neuron_id", "neuron"),
    real("mean", "first-order estimate of the mean of clean − ablated"),
    Index(None, "run_id", "metric", "mean"),
    **CLUSTERED,
)

shown_condition_runs = Table(
    "shown_condition_runs",
    metadata,
    key("model_id", "models.model_id", "model"),
    Column("kind", String, primary_key=True, comment="each or attribution"),
    Column("condition", String, primary_key=True, comment="signs, such as gate-_post+"),
    reference(
        "run_id",
        "ablation_runs.run_id",
        "the last run of single neurons under the condition, which `find` knows as "
        "ablated[gate-_post+].loss; models has the one at every token",
    ),
    **CLUSTERED,
)

changed_tokens = Table(
    "changed_tokens",
    metadata,
    key("run_id", "ablation_runs.run_id", "run of kind together"),
    Column("metric", String, primary_key=True, comment="loss, entropy, rank or scale"),
    Column(
        "rank",
        Integer,
        primary_key=True,
        autoincrement=False,
        comment="place among the tokens by |clean − ablated|, from 0",
    ),
    reference("text_id", "texts.text_id", "text"),
    integer("position", "position of the token in the text, from 0"),
    integer("token_id", "the token there; loss and rank are of the one after it"),
    real("clean", "the metric in the clean run", nullable=False),
    real("ablated", "the metric in the ablated run", nullable=False),
    **CLUSTERED,
)
