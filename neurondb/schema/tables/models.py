"""Models, their layers and neurons; what their weights are."""

from sqlalchemy import (
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    SmallInteger,
    String,
    Table,
    UniqueConstraint,
)

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

models = Table(
    "models",
    metadata,
    identity("model_id", "model"),
    word("name", "slug by which commands and queries know it", unique=True),
    word("source", "hub id or directory it was read from"),
    word("revision", "commit of the hub repository", nullable=True),
    word("architecture", "model_type of its config"),
    flag("gated", "whether its MLP multiplies a gate", nullable=False),
    word("activation", "activation function of the MLP, as its config names it"),
    integer("n_layers", "layers"),
    integer("d_model", "width of the residual stream; 0 of a model known from imports alone"),
    integer("d_mlp", "neurons a layer; in a mixture of experts, of the widest layer"),
    integer(
        "d_vocab",
        "rows of U and of E; tokens of the vocabulary are at most as many; 0 of a model known from "
        "imports alone",
    ),
    word("fingerprint", "sha256 over config and tensors, see ingest.checkpoint.reader"),
    word("tokenizer_fingerprint", "sha256 of its tokenizer.json", nullable=True),
    integer("first_neuron_id", "its neurons have n_layers·d_mlp consecutive ids from here"),
    real("threshold", "τ of the class that neuron_overview shows", nullable=False),
    reference(
        "dataset_id", "dataset_rows.dataset_id", "dataset neuron_overview shows", nullable=True
    ),
    integer("each_run_id", "run whose effects neuron_overview shows", nullable=True),
    integer("attribution_run_id", "run whose attributions neuron_overview shows", nullable=True),
    integer(
        "n_unused_rows",
        "rows of U and E that no token has, left out of token lists and moments; NULL where that "
        "is not known: no tokenizer, no vocabulary yet, or one of an earlier version",
        nullable=True,
    ),
    word(
        "quantisation",
        "how its weights were quantised, as llama.cpp calls it (Q4_1, Q4_K_M); NULL of a model in "
        "hub format",
        nullable=True,
    ),
    word(
        "tensor_types",
        "JSON: how each kind of tensor of a GGUF file was stored; NULL of a model in hub format",
        nullable=True,
    ),
    integer("n_experts", "routed experts of a layer; NULL of a dense model", nullable=True),
    integer("d_expert", "neurons of each; NULL of a dense model", nullable=True),
    integer("experts_per_token", "routed experts that a token passes through", nullable=True),
    integer(
        "d_shared_expert",
        "neurons of the shared expert, whose number is n_experts; 0 where there is none, NULL of a "
        "dense model",
        nullable=True,
    ),
    word(
        "dense_layers",
        "JSON: the layers of a mixture of experts whose MLP is not divided; NULL of a dense model",
        nullable=True,
    ),
    integer(
        "d_dense",
        "neurons of each of these, 0 where there is none; NULL of a dense model",
        nullable=True,
    ),
)

layers = Table(
    "layers",
    metadata,
    identity("layer_id", "layer of a model"),
    reference("model_id", "models.model_id", "its model"),
    integer("layer", "number of the layer, from 0"),
    UniqueConstraint("model_id", "layer"),
)

neurons = Table(
    "neurons",
    metadata,
    identity("neuron_id", "first_neuron_id of the model + layer·d_mlp + neuron"),
    reference("model_id", "models.model_id", "its model"),
    integer("layer", "its layer, from 0"),
    integer("neuron", "its number within the layer, from 0"),
    integer("expert", "its expert, from 0; NULL where the layer is not divided", nullable=True),
    integer(
        "expert_neuron",
        "its number among the neurons of its expert: its name is layer.expert.expert_neuron; NULL "
        "where the layer is not divided, and its name layer.neuron",
        nullable=True,
    ),
    Column(
        "sign",
        SmallInteger,
        nullable=False,
        comment="s of METHODS §1: in and out were × s; 0 where the weights are not ingested",
    ),
    real("gate_norm", "‖gate‖ after preprocessing; NULL when ungated"),
    real("in_norm", "‖in‖ after preprocessing"),
    real("out_norm", "‖out‖ after preprocessing"),
    real("gate_bias", "bias of x_gate after folding; NULL when there is none"),
    real("in_bias", "bias of canonical x_in after folding; NULL when there is none"),
    real("penalty", "weight-decay penalty ‖in‖² + ‖out‖² (+ ‖gate‖²)"),
    UniqueConstraint("model_id", "layer", "neuron"),
)

cosines = Table(
    "cosines",
    metadata,
    key("neuron_id", "neurons.neuron_id", "neuron"),
    real("gate_in", "cos(gate, in); NULL when ungated or a vector is zero"),
    real("gate_out", "cos(gate, out)"),
    real("in_out", "cos(in, out)"),
    Index(None, "in_out"),
)

rw_classes = Table(
    "rw_classes",
    metadata,
    Column("class_id", SmallInteger, primary_key=True, comment="0–10 in the published order"),
    word("name", "name of weakening-neurons", unique=True),
    word("io_name", "name of input-output-functionality"),
)

classes = Table(
    "classes",
    metadata,
    key("neuron_id", "neurons.neuron_id", "neuron"),
    Column("threshold", Double, primary_key=True, comment="τ"),
    Column(
        "class_id",
        SmallInteger,
        ForeignKey("rw_classes.class_id"),
        nullable=False,
        comment="its read-write class at τ",
    ),
    Index(None, "class_id", "threshold", "neuron_id"),
    **CLUSTERED,
)

baselines = Table(
    "baselines",
    metadata,
    key("model_id", "models.model_id", "model"),
    Column("layer", Integer, primary_key=True, comment="layer"),
    Column("kind", String, primary_key=True, comment="gaussian or mismatched (METHODS §3)"),
    Column("pair", String, primary_key=True, comment="gate_in, gate_out or in_out"),
    real("low", "lower end of the random region", nullable=False),
    real("high", "upper end of the random region", nullable=False),
    integer("n_pairs", "mismatched pairs looked at; NULL for the closed form", nullable=True),
    real("standard_error", "estimated error of the worse end; 0 when exact"),
    **CLUSTERED,
)
