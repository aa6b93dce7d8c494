"""Universality: neurons and those of other models that fire as they do (METHODS §8)."""

from sqlalchemy import Index, Table

from neurondb.schema.columns import (
    CLUSTERED,
    code,
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

universality_runs = Table(
    "universality_runs",
    metadata,
    identity("run_id", "run"),
    reference("model_id", "models.model_id", "model whose neurons were matched"),
    reference("dataset_id", "dataset_rows.dataset_id", "dataset"),
    integer("n_texts", "texts of it that were run"),
    integer("max_len", "tokens a text at most, the prefix token included"),
    integer(
        "layer_window",
        "layers on each side of the same relative depth that were compared; NULL of all",
        nullable=True,
    ),
    integer("seed", "seed of the random matrices of the baseline"),
    real("seconds", "seconds that it took"),
    *provenance(),
    Index(None, "model_id"),
    Index(None, "dataset_id"),
)

universality_models = Table(
    "universality_models",
    metadata,
    key("run_id", "universality_runs.run_id", "run"),
    number("place", "place of the other model in the run, from 0"),
    reference("other_id", "models.model_id", "the other model"),
    word("other_fingerprint", "fingerprint of its weights"),
    word(
        "aligned_by",
        "tokens: both models read the same tokens; characters: tokens are compared that end after "
        "the same character",
    ),
    integer("n_tokens", "tokens compared: not padding, BOS or newlines"),
    integer(
        "n_unaligned", "tokens left out because no token of the other model ends where they do"
    ),
    integer("n_tiles", "pairs of layers compared"),
    integer("n_passes", "passes over the texts"),
    Index(None, "other_id"),
    **CLUSTERED,
)

universality = Table(
    "universality",
    metadata,
    key("neuron_id", "neurons.neuron_id", "neuron"),
    key("run_id", "universality_runs.run_id", "run"),
    number("place", "place of the other model in the run (universality_models)"),
    real("correlation", "largest correlation of hook_post with a neuron of it; NULL if constant"),
    reference("best_id", "neurons.neuron_id", "that neuron", nullable=True),
    real("baseline", "largest correlation with a random mixture of neurons of a layer of it"),
    real("lowest", "smallest, most negative, correlation with a neuron of it"),
    reference("lowest_id", "neurons.neuron_id", "that neuron", nullable=True),
    Index(None, "run_id", "place"),
    Index(None, "best_id"),
    **CLUSTERED,
)

universality_cases = Table(
    "universality_cases",
    metadata,
    key("neuron_id", "neurons.neuron_id", "neuron"),
    key("run_id", "universality_runs.run_id", "run"),
    number("place", "place of the other model in the run (universality_models)"),
    code(
        "case_id",
        "sign_case_names.sign_case_id",
        "code of the sign case that hook_post of both neurons is restricted to (0 elsewhere)",
    ),
    integer("n_tokens", "tokens compared at which the neuron is in the case"),
    real("correlation", "largest correlation with a neuron in the case; NULL if it never is in it"),
    reference("best_id", "neurons.neuron_id", "that neuron", nullable=True),
    real("baseline", "largest correlation with a random mixture of neurons of a layer, each in it"),
    Index(None, "run_id"),
    Index(None, "best_id"),
    **CLUSTERED,
)
"""Rows where sign cases were asked for, one for each case that the neuron can be in."""
