"""Who computed what, when, with which choices; and what is composed of all that is stored."""

from sqlalchemy import Column, Index, Table, Text

from neurondb.schema.columns import flag, identity, integer, key, metadata, real, reference, word

ingest_runs = Table(
    "ingest_runs",
    metadata,
    identity("run_id", "run"),
    reference("model_id", "models.model_id", "model"),
    reference("dataset_id", "dataset_rows.dataset_id", "dataset, when one was read", nullable=True),
    word("tool_version", "version of neurondb"),
    word("torch_version", "version of torch"),
    word("fingerprint", "fingerprint of the model's weights"),
    word("stages", "stages asked for"),
    flag("fold", "norm gains and biases folded (METHODS §1)"),
    flag("center", "in and out of LayerNorm models centred over d; U centred over the vocabulary"),
    flag("center_gate", "LayerNorm models: gate mean-centred too"),
    flag("fold_post_norm", "gain after the MLP folded into out"),
    flag("canonicalise", "signs made canonical"),
    word("dtype", "dtype of the forward pass"),
    word("device", "device"),
    integer("seed", "seed of the sampled baselines"),
    word("started_at", "UTC, ISO 8601"),
    word("finished_at", "UTC, ISO 8601; NULL while running or when interrupted", nullable=True),
)

ingest_steps = Table(
    "ingest_steps",
    metadata,
    identity("step_id", "finished step: its rows were committed together with this one"),
    reference("run_id", "ingest_runs.run_id", "run that finished it"),
    reference("model_id", "models.model_id", "model"),
    reference("dataset_id", "dataset_rows.dataset_id", "dataset of activations", nullable=True),
    word("stage", "stage"),
    integer("layer", "layer; −1 for a step of the whole model"),
    word("settings", "JSON of the choices the rows depend on"),
    integer("n_rows", "rows written"),
    real("seconds", "seconds it took"),
    word("finished_at", "UTC, ISO 8601"),
    Index(None, "model_id", "stage", "layer"),
)

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
    word("finished_at", "UTC, ISO 8601"),
)
