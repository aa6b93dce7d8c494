"""Neurons held at values: sweeps over a prompt's next token, and what makes a model say a concept.

METHODS §6; specialised-feature-neurons §3.2. What is here is small: some thousand rows a run.
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

clamp_runs = Table(
    "clamp_runs",
    metadata,
    identity("run_id", "sweep"),
    reference("model_id", "models.model_id", "model"),
    Column("prompt", Text, nullable=False, comment="the text whose next token was looked at"),
    flag("chat", "whether the prompt stood in the chat template", nullable=False),
    word("hook", "what was held: hook_pre_linear or hook_post"),
    word("position", "where it was held: at all positions of the prompt, or at the last"),
    word("sign", "the sign that values are in: canonical (METHODS §1), or the model's own"),
    integer("n_prompt", "tokens of the prompt, the prefix token included"),
    *provenance(),
    Index(None, "model_id"),
)

clamp_run_neurons = Table(
    "clamp_run_neurons",
    metadata,
    key("run_id", "clamp_runs.run_id", "sweep"),
    key("neuron_id", "neurons.neuron_id", "neuron that was held, with the others of the sweep"),
    real("clean_value", "what it has at the last position by itself, in the run's sign"),
    Index(None, "neuron_id"),
    **CLUSTERED,
)

clamp_results = Table(
    "clamp_results",
    metadata,
    key("run_id", "clamp_runs.run_id", "sweep"),
    number("step", "place of the value in the sweep; 0 is the clean run"),
    number("token_id", "next token that was followed"),
    real("value", "what the neurons were held at, in the run's sign; NULL of the clean run"),
    real("probability", "probability of the token", nullable=False),
    integer("rank", "tokens of larger probability; 0 is the most probable one"),
    **CLUSTERED,
)

concept_runs = Table(
    "concept_runs",
    metadata,
    identity("run_id", "run"),
    reference("model_id", "models.model_id", "model"),
    word("concept", "the word or phrase"),
    word("hook", "what was held: hook_pre_linear or hook_post"),
    integer("n_candidates", "neurons of each vector, direction and sign that were tried"),
    integer("n_random", "random neurons of the same layers beside them"),
    integer("seed", "seed of these"),
    real("scale", "ends of the sweep, in multiples of a neuron's largest |value| on its dataset"),
    real("low", "lower end of the sweep where it is the same for all neurons"),
    real("high", "upper end, the same"),
    real("clean_log_probability", "mean of ln p(concept) over the prompts, no neuron held"),
    real("clean_probability", "mean of p(concept) over the prompts, no neuron held"),
    real("seconds", "seconds that it took"),
    *provenance(),
    Index(None, "model_id", "concept"),
)

concept_texts = Table(
    "concept_texts",
    metadata,
    key("run_id", "concept_runs.run_id", "run"),
    Column(
        "kind",
        String,
        primary_key=True,
        comment="spelling of the concept; prompt after which its probability was measured; context "
        "in which its residual stream was read; other concept it was compared with there",
    ),
    number("place", "its place among those of its kind, from 0"),
    Column("text", Text, nullable=False, comment="the text"),
    real("log_probability", "of a prompt: ln p(concept) after it, no neuron held"),
    **CLUSTERED,
)

concept_tokens = Table(
    "concept_tokens",
    metadata,
    key("run_id", "concept_runs.run_id", "run"),
    number("spelling", "place of the spelling in concept_texts"),
    number("place", "place of the token in the spelling, from 0"),
    integer("token_id", "token"),
    **CLUSTERED,
)

concept_candidates = Table(
    "concept_candidates",
    metadata,
    key("run_id", "concept_runs.run_id", "run"),
    key("neuron_id", "neurons.neuron_id", "neuron, held alone"),
    Column(
        "random", Boolean, nullable=False, comment="whether it is one of the random neurons instead"
    ),
    word("vector", "the vector that lies nearest a direction: gate, in or out", nullable=True),
    word("direction", "that direction: unembed, token 1, …, or residual", nullable=True),
    real("cosine", "its cosine with it, in canonical sign; NULL of a random neuron"),
    real("low", "lower value that it was held at, in canonical sign", nullable=False),
    real("high", "upper value", nullable=False),
    real("low_change", "mean over the prompts of ln p(concept), held at low − clean"),
    real("high_change", "the same, held at high"),
    real("low_probability", "mean over the prompts of p(concept), held at low"),
    real("high_probability", "the same, held at high"),
    real("low_other_change", "mean over the prompts and other words of ln p, held at low − clean"),
    real("high_other_change", "the same, held at high"),
    real("change", "the larger of the two changes: what the neuron can do for the concept"),
    integer("rank", "place by change among the candidates, or among the random ones; 0 is first"),
    integer("stronger", "random neurons whose change is as large at least", nullable=True),
    Index(None, "neuron_id"),
    **CLUSTERED,
)

concept_points = Table(
    "concept_points",
    metadata,
    key("run_id", "concept_runs.run_id", "run"),
    key("neuron_id", "neurons.neuron_id", "one of the strongest neurons, held alone"),
    number("step", "place of the value in the sweep"),
    real("value", "what it was held at, in canonical sign", nullable=False),
    real("change", "mean over the prompts of ln p(concept), held − clean"),
    real("probability", "mean over the prompts of p(concept)"),
    Index(None, "neuron_id"),
    **CLUSTERED,
)
