"""What a running model was asked besides: entropy runs, attribute rates, texts that it generated.

METHODS §4 and §6. Every run is stored once; some thousand rows a run at most.
"""

from sqlalchemy import Boolean, Column, Index, String, Table, Text

from neurondb.schema.columns import (
    CLUSTERED,
    flag,
    identity,
    integer,
    key,
    metadata,
    number,
    provenance,
    real,
    reference,
    word,
)

entropy_runs = Table(
    "entropy_runs",
    metadata,
    identity("run_id", "run"),
    reference("model_id", "models.model_id", "model"),
    reference("dataset_id", "dataset_rows.dataset_id", "dataset"),
    integer("n_texts", "texts of it that were run"),
    integer("n_tokens", "tokens counted"),
    integer("max_len", "tokens a text at most, the prefix token included"),
    flag("skip_bos", "whether the first position of each text was left out", nullable=False),
    integer("n_random", "random neurons of the last two layers beside those asked for"),
    integer("seed", "seed of these"),
    real("clean_scale", "mean over tokens of what the final norm divides by, nothing fixed"),
    real("clean_entropy", "mean entropy of the next token, nats, nothing fixed"),
    real("clean_rank", "mean rank of the correct next token, 0 is the top, nothing fixed"),
    real("clean_loss", "mean loss, nats, nothing fixed"),
    real("seconds", "seconds that it took"),
    *provenance(),
    Index(None, "model_id"),
    Index(None, "dataset_id"),
)

entropy_neurons = Table(
    "entropy_neurons",
    metadata,
    key("run_id", "entropy_runs.run_id", "run"),
    key("neuron_id", "neurons.neuron_id", "neuron, fixed alone"),
    integer("place", "its place in the run, from 0: those asked for, then the random ones"),
    Column("random", Boolean, nullable=False, comment="whether it is one of the random neurons"),
    Index(None, "neuron_id"),
    **CLUSTERED,
)

entropy_results = Table(
    "entropy_results",
    metadata,
    key("run_id", "entropy_runs.run_id", "run"),
    key("neuron_id", "neurons.neuron_id", "neuron, fixed alone"),
    number("step", "place of the value, from 0"),
    Column("metric", String, primary_key=True, comment="scale, entropy, rank or loss"),
    real("value", "what hook_post was fixed at, in canonical sign", nullable=False),
    real("fixed", "mean of the metric over tokens, the neuron fixed"),
    real("frozen", "the same with the final norm dividing by what it divides by in the clean run"),
    Index(None, "neuron_id"),
    **CLUSTERED,
)

attribute_runs = Table(
    "attribute_runs",
    metadata,
    identity("run_id", "run"),
    reference("model_id", "models.model_id", "model"),
    word("prompts", "name of the file of prompts"),
    word("prompts_fingerprint", "sha256 of that file"),
    word("sets", "name of the file of attribute sets"),
    word("sets_fingerprint", "sha256 of that file"),
    word("stop_words", "name of the file of more stop words", nullable=True),
    word("stop_words_fingerprint", "sha256 of that file", nullable=True),
    integer("max_prompts", "prompts read at most; NULL of all", nullable=True),
    integer("top_k", "tokens looked at for each subject and layer"),
    flag("pieces", "whether the tokens that an attribute is made of count too", nullable=False),
    integer("n_prompts", "prompts measured"),
    integer("n_subjects", "subjects with attributes"),
    integer("n_answers", "prompts whose answer's probability was measured"),
    Column(
        "definition", Text, comment="the SQL or expression of the neurons ablated; NULL of none"
    ),
    integer("n_ablated", "neurons ablated"),
    word(
        "mode", "zero, mean, fix or clamp (METHODS §6); NULL where none is ablated", nullable=True
    ),
    word("hook", "what was set: hook_post or hook_pre_linear", nullable=True),
    word("condition", "signs under which the intervention acts", nullable=True),
    real("value", "value of fix and clamp"),
    reference(
        "means_dataset_id",
        "dataset_rows.dataset_id",
        "dataset whose activations gave the values of mode mean",
        nullable=True,
    ),
    integer("seed", "seed of what is random"),
    real("seconds", "seconds that it took"),
    *provenance(),
    Index(None, "model_id"),
)

attribute_left_out = Table(
    "attribute_left_out",
    metadata,
    key("run_id", "attribute_runs.run_id", "run"),
    Column("reason", String, primary_key=True, comment="why prompts of the file were left out"),
    integer("n", "how many"),
    **CLUSTERED,
)

attribute_states = Table(
    "attribute_states",
    metadata,
    key("run_id", "attribute_runs.run_id", "run"),
    number("place", "place of the state in the run, from 0"),
    word("run", "clean, ablated, or baseline: as many random neurons of the same layers"),
    integer("draw", "number of the baseline's draw, from 0; NULL of the others", nullable=True),
    reference("set_id", "neuron_sets.set_id", "neurons ablated; NULL of clean", nullable=True),
    real("answer_probability", "mean probability of the first token of the prompts' answers"),
    Index(None, "set_id"),
    **CLUSTERED,
)

attribute_rate_rows = Table(
    "attribute_rate_rows",
    metadata,
    key("run_id", "attribute_runs.run_id", "run"),
    number("place", "place of the state in the run (attribute_states)"),
    number("layer", "layer, from 0"),
    real("rate", "mean over prompts of the share of kept top tokens that are attributes"),
    integer("n_prompts", "prompts that have such a share"),
    **CLUSTERED,
)

generation_runs = Table(
    "generation_runs",
    metadata,
    identity("run_id", "run"),
    reference("model_id", "models.model_id", "model"),
    Column("prompt", Text, nullable=False, comment="the text that was continued"),
    flag("chat", "whether the prompt stood in the chat template", nullable=False),
    word("hook", "what clamps held: hook_pre_linear or hook_post"),
    word("sign", "the sign that values are in: canonical (METHODS §1), or the model's own"),
    Column("ablated", Text, comment="the find expression whose neurons were set to zero"),
    flag("side_by_side", "whether the model as it is continued it too", nullable=False),
    integer("n_samples", "samples of each run; NULL of a single text", nullable=True),
    integer("max_new_tokens", "tokens generated at most"),
    flag("greedy", "whether the most probable token was taken each time", nullable=False),
    real("temperature", "what logits were divided by", nullable=False),
    real("top_p", "probability that the tokens drawn from have together", nullable=False),
    integer("seed", "seed of the first text; those of more samples count on from it"),
    real("seconds", "seconds that it took"),
    *provenance(),
    Index(None, "model_id"),
)

generation_neurons = Table(
    "generation_neurons",
    metadata,
    key("run_id", "generation_runs.run_id", "run"),
    key("neuron_id", "neurons.neuron_id", "neuron that was held, with the others of the run"),
    real("value", "what it was held at, in the run's sign", nullable=False),
    flag("ablated", "whether it is one whose hook_post was set to zero", nullable=False),
    Index(None, "neuron_id"),
    **CLUSTERED,
)

generation_texts = Table(
    "generation_texts",
    metadata,
    key("run_id", "generation_runs.run_id", "run"),
    Column("run", String, primary_key=True, comment="clean or steered"),
    number("seed", "its seed"),
    Column("text", Text, nullable=False, comment="what was generated, the prompt left out"),
    integer("n_tokens", "tokens generated"),
    word("ended", "why it has no more: eos, length or context"),
    **CLUSTERED,
)

generation_counts = Table(
    "generation_counts",
    metadata,
    key("run_id", "generation_runs.run_id", "run"),
    Column("run", String, primary_key=True, comment="clean or steered"),
    Column("counted", String, primary_key=True, comment="the text that was counted, as written"),
    integer("hits", "samples that have it, once or more"),
    integer("n", "samples"),
    real("share", "hits / n", nullable=False),
    real("low", "lower end of Wilson's 95% interval of the share", nullable=False),
    real("high", "upper end", nullable=False),
    **CLUSTERED,
)
