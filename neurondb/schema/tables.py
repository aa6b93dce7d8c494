"""Every table, each column documented where it is defined (`comment=`).

Relations whose rows hold codes are named `…_rows`; the view without that ending
(`neurondb.schema.views`) shows them in words. The same definitions run on SQLite and PostgreSQL.
Large tables are clustered on their key (`WITHOUT ROWID` in SQLite) and get their secondary
indexes after a bulk load (`neurondb.writing`).
"""

from typing import Any

from sqlalchemy import (
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from neurondb.schema.codes import QUANTITY_COLUMNS

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _id(name: str, comment: str) -> Column[int]:
    return Column(name, Integer, primary_key=True, comment=comment)


def _key(name: str, target: str, comment: str) -> Column[int]:
    return Column(name, ForeignKey(target), primary_key=True, comment=comment)


def _code(name: str, target: str, comment: str) -> Column[int]:
    return Column(name, SmallInteger, ForeignKey(target), primary_key=True, comment=comment)


def _ref(name: str, target: str, comment: str, *, nullable: bool = False) -> Column[int]:
    return Column(name, ForeignKey(target), nullable=nullable, comment=comment)


def _real(name: str, comment: str, *, nullable: bool = True) -> Column[float]:
    return Column(name, Double, nullable=nullable, comment=comment)


def _int(name: str, comment: str, *, nullable: bool = False) -> Column[int]:
    return Column(name, Integer, nullable=nullable, comment=comment)


def _word(name: str, comment: str, *, nullable: bool = False, **more: Any) -> Column[str]:
    return Column(name, String, nullable=nullable, comment=comment, **more)


def _flag(name: str, comment: str, *, nullable: bool = True) -> Column[bool]:
    return Column(name, Boolean, nullable=nullable, comment=comment)


def _moments(quantity: str, of: str) -> list[Column[float]]:
    return [
        _real(f"{quantity}_mean", f"mean of {of}"),
        _real(f"{quantity}_variance", f"population variance of {of}"),
        _real(f"{quantity}_skewness", f"skewness of {of}"),
        _real(f"{quantity}_kurtosis", f"Pearson kurtosis of {of} (a Gaussian has 3)"),
    ]


CLUSTERED: dict[str, Any] = {"sqlite_with_rowid": False}

# --- models and their neurons -------------------------------------------------------------

models = Table(
    "models",
    metadata,
    _id("model_id", "model"),
    _word("name", "slug by which commands and queries know it", unique=True),
    _word("source", "hub id or directory it was read from"),
    _word("revision", "commit of the hub repository", nullable=True),
    _word("architecture", "model_type of its config"),
    _flag("gated", "whether its MLP multiplies a gate", nullable=False),
    _word("activation", "activation function of the MLP, as its config names it"),
    _int("n_layers", "layers"),
    _int("d_model", "width of the residual stream"),
    _int("d_mlp", "neurons a layer"),
    _int("d_vocab", "tokens of the vocabulary"),
    _word("fingerprint", "sha256 over config and tensors, see ingest.checkpoint"),
    _word("tokenizer_fingerprint", "sha256 of its tokenizer.json", nullable=True),
    _int("first_neuron_id", "its neurons have n_layers·d_mlp consecutive ids from here"),
    _real("threshold", "τ of the class that neuron_overview shows", nullable=False),
    _ref("dataset_id", "dataset_rows.dataset_id", "dataset neuron_overview shows", nullable=True),
)

layers = Table(
    "layers",
    metadata,
    _id("layer_id", "layer of a model"),
    _ref("model_id", "models.model_id", "its model"),
    _int("layer", "number of the layer, from 0"),
    UniqueConstraint("model_id", "layer"),
)

neurons = Table(
    "neurons",
    metadata,
    _id("neuron_id", "first_neuron_id of the model + layer·d_mlp + neuron"),
    _ref("model_id", "models.model_id", "its model"),
    _int("layer", "its layer, from 0"),
    _int("neuron", "its number within the layer, from 0"),
    Column("sign", SmallInteger, nullable=False, comment="s of METHODS §1: in and out were × s"),
    _real("gate_norm", "‖gate‖ after preprocessing; NULL when ungated"),
    _real("in_norm", "‖in‖ after preprocessing"),
    _real("out_norm", "‖out‖ after preprocessing"),
    _real("gate_bias", "bias of x_gate after folding; NULL when there is none"),
    _real("in_bias", "bias of canonical x_in after folding; NULL when there is none"),
    _real("penalty", "weight-decay penalty ‖in‖² + ‖out‖² (+ ‖gate‖²)"),
    UniqueConstraint("model_id", "layer", "neuron"),
)

cosines = Table(
    "cosines",
    metadata,
    _key("neuron_id", "neurons.neuron_id", "neuron"),
    _real("gate_in", "cos(gate, in); NULL when ungated or a vector is zero"),
    _real("gate_out", "cos(gate, out)"),
    _real("in_out", "cos(in, out)"),
    Index(None, "in_out"),
)

rw_classes = Table(
    "rw_classes",
    metadata,
    Column("class_id", SmallInteger, primary_key=True, comment="0–10 in the published order"),
    _word("name", "name of weakening-neurons", unique=True),
    _word("io_name", "name of input-output-functionality"),
)

classes = Table(
    "classes",
    metadata,
    _key("neuron_id", "neurons.neuron_id", "neuron"),
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
    _key("model_id", "models.model_id", "model"),
    Column("layer", Integer, primary_key=True, comment="layer"),
    Column("kind", String, primary_key=True, comment="gaussian or mismatched (METHODS §3)"),
    Column("pair", String, primary_key=True, comment="gate_in, gate_out or in_out"),
    _real("low", "lower end of the random region", nullable=False),
    _real("high", "upper end of the random region", nullable=False),
    _int("n_pairs", "mismatched pairs looked at; NULL for the closed form", nullable=True),
    _real("standard_error", "estimated error of the worse end; 0 when exact"),
    **CLUSTERED,
)

# --- the vocabulary -----------------------------------------------------------------------

tokens = Table(
    "tokens",
    metadata,
    _key("model_id", "models.model_id", "model"),
    Column("token_id", Integer, primary_key=True, autoincrement=False, comment="row of E and U"),
    _word("token", "its text, as it stands in a text: ' dog'; lone bytes as \\xNN"),
    _word("piece", "its spelling in the tokenizer's own vocabulary: 'Ġdog'", nullable=True),
    Index(None, "token", "model_id"),
    **CLUSTERED,
)

vectors = Table(
    "vectors",
    metadata,
    Column("vector_id", SmallInteger, primary_key=True, comment="code"),
    _word("vector", "gate, in or out", unique=True),
)

vocab_stat_rows = Table(
    "vocab_stat_rows",
    metadata,
    _key("neuron_id", "neurons.neuron_id", "neuron"),
    _code("vector_id", "vectors.vector_id", "code of the vector"),
    _real("mean", "mean of cos(U, vector) over the vocabulary"),
    _real("variance", "population variance of cos(U, vector)"),
    _real("skewness", "skewness of cos(U, vector)"),
    _real("kurtosis", "Pearson kurtosis of cos(U, vector)"),
    _real("dot_variance", "population variance of the dot product U·vector"),
    **CLUSTERED,
)

token_lists = Table(
    "token_lists",
    metadata,
    Column("list_id", SmallInteger, primary_key=True, comment="code"),
    _word("vector", "gate, in or out"),
    _word("basis", "unembed (U) or embed (E)"),
    _word("direction", "top or bottom"),
    UniqueConstraint("vector", "basis", "direction"),
)

top_token_rows = Table(
    "top_token_rows",
    metadata,
    _key("neuron_id", "neurons.neuron_id", "neuron"),
    _code("list_id", "token_lists.list_id", "code of the list"),
    Column("rank", SmallInteger, primary_key=True, comment="0 is the most extreme"),
    _int("token_id", "token"),
    _real("cosine", "cos(vector, row of the basis)", nullable=False),
    _real("dot", "vector · row of the basis", nullable=False),
    **CLUSTERED,
)
Index(
    "ix_top_token_rows_token",
    top_token_rows.c.token_id,
    top_token_rows.c.list_id,
    top_token_rows.c.neuron_id,
)

lm_head_tokens = Table(
    "lm_head_tokens",
    metadata,
    _key("neuron_id", "neurons.neuron_id", "neuron"),
    _int("token_id", "token of largest probability under softmax(U·in), both raw"),
    _real("probability", "that probability", nullable=False),
    _real("normalised", "÷ mean of the neuron's 100 largest probabilities", nullable=False),
    Index(None, "token_id"),
)

# --- texts and activations ----------------------------------------------------------------

dataset_rows = Table(
    "dataset_rows",
    metadata,
    _id("dataset_id", "dataset"),
    _word("name", "name, unique", unique=True),
    _word("source", "file, directory or hub id it was read from"),
    _word("fingerprint", "sha256 over its texts in order"),
    _int("n_texts", "texts"),
)

tokenizations = Table(
    "tokenizations",
    metadata,
    _key("model_id", "models.model_id", "model whose tokenizer was used"),
    _key("dataset_id", "dataset_rows.dataset_id", "dataset"),
    _int("max_len", "tokens a text at most, the prefix token included"),
    _int("prefix_token_id", "token put first: BOS, or EOS where there is none", nullable=True),
    _flag("skip_bos", "whether the first position is left out of the counts", nullable=False),
    _int("n_tokens", "tokens counted"),
    _int("n_truncated", "texts cut at max_len"),
    **CLUSTERED,
)

texts = Table(
    "texts",
    metadata,
    _id("text_id", "text"),
    _ref("dataset_id", "dataset_rows.dataset_id", "its dataset"),
    _int("ordinal", "place in the dataset, from 0"),
    Column("text", Text, nullable=False, comment="the text, stripped"),
    UniqueConstraint("dataset_id", "ordinal"),
)

text_token_ids = Table(
    "text_token_ids",
    metadata,
    _key("model_id", "models.model_id", "model whose tokenizer was used"),
    _key("text_id", "texts.text_id", "text"),
    Column(
        "token_ids",
        LargeBinary,
        nullable=False,
        comment="its token ids, the prefix first, as little-endian unsigned 32-bit integers",
    ),
    **CLUSTERED,
)

activation_stats = Table(
    "activation_stats",
    metadata,
    _key("neuron_id", "neurons.neuron_id", "neuron"),
    _key("dataset_id", "dataset_rows.dataset_id", "dataset"),
    _int("n_tokens", "tokens counted"),
    _real("freq", "share of tokens with x_gate > 0; NULL when ungated"),
    *_moments("pre", "hook_pre (x_gate; ungated: x_in)"),
    *_moments("post", "hook_post, canonical sign"),
    _real("post_positive", "share of tokens with hook_post > 0, canonical sign"),
    Index(None, "dataset_id", "freq", "neuron_id"),
    **CLUSTERED,
)

sign_case_names = Table(
    "sign_case_names",
    metadata,
    Column("sign_case_id", SmallInteger, primary_key=True, comment="code"),
    _word("sign_case", "signs of x_gate and canonical x_in (METHODS §5)", unique=True),
)

sign_case_rows = Table(
    "sign_case_rows",
    metadata,
    _key("neuron_id", "neurons.neuron_id", "neuron"),
    _key("dataset_id", "dataset_rows.dataset_id", "dataset"),
    _code("sign_case_id", "sign_case_names.sign_case_id", "code of the sign case"),
    _int("count", "tokens in the case"),
    _real("freq", "share of all counted tokens", nullable=False),
    *(
        _real(f"{quantity}_{statistic}", f"{statistic} of {quantity} over the case's tokens")
        for quantity in QUANTITY_COLUMNS
        for statistic in ("mean", "min", "max")
    ),
    **CLUSTERED,
)

example_lists = Table(
    "example_lists",
    metadata,
    Column("list_id", SmallInteger, primary_key=True, comment="code"),
    _word("sign_case", "sign case"),
    _word("quantity", "hook_post, hook_pre_linear, hook_pre or swish"),
    UniqueConstraint("sign_case", "quantity"),
)

example_rows = Table(
    "example_rows",
    metadata,
    _key("neuron_id", "neurons.neuron_id", "neuron"),
    _key("dataset_id", "dataset_rows.dataset_id", "dataset"),
    _code("list_id", "example_lists.list_id", "code of the list"),
    Column("rank", SmallInteger, primary_key=True, comment="0 has the largest |value|"),
    _ref("text_id", "texts.text_id", "text"),
    _int("position", "token position in the text; the prefix token has 0"),
    _real("value", "signed value there, canonical sign", nullable=False),
    **CLUSTERED,
)

# --- interventions ------------------------------------------------------------------------

neuron_sets = Table(
    "neuron_sets",
    metadata,
    _id("set_id", "set"),
    _word("name", "name", nullable=True),
    Column("definition", Text, nullable=False, comment="the SQL or expression that made it"),
)

neuron_set_members = Table(
    "neuron_set_members",
    metadata,
    _key("set_id", "neuron_sets.set_id", "set"),
    _key("neuron_id", "neurons.neuron_id", "member"),
    **CLUSTERED,
)

ablation_runs = Table(
    "ablation_runs",
    metadata,
    _id("run_id", "run"),
    _ref("model_id", "models.model_id", "model"),
    _ref("dataset_id", "dataset_rows.dataset_id", "dataset"),
    _ref("set_id", "neuron_sets.set_id", "neurons intervened on"),
    _word("mode", "zero, mean, fix or clamp (METHODS §6)"),
    _word("condition", "signs under which the intervention acts", nullable=True),
    _real("value", "value of fix and clamp"),
    _ref("baseline_of", "ablation_runs.run_id", "run it is the baseline of", nullable=True),
    _int("seed", "seed of a random set", nullable=True),
)

ablation_results = Table(
    "ablation_results",
    metadata,
    _key("run_id", "ablation_runs.run_id", "run"),
    Column("metric", String, primary_key=True, comment="loss, entropy, rank or scale"),
    Column("filter", String, primary_key=True, comment="all tokens, or those that changed"),
    _int("n", "tokens"),
    *(
        _real(name, f"{name} of clean − ablated")
        for name in ("mean", "std", "q25", "q50", "q75", "min", "max")
    ),
    _real("clean_mean", "mean of the clean run"),
    _real("ablated_mean", "mean of the ablated run"),
    **CLUSTERED,
)

annotations = Table(
    "annotations",
    metadata,
    _id("annotation_id", "annotation"),
    _ref("neuron_id", "neurons.neuron_id", "neuron"),
    _word("source", "who or what said it"),
    _word("key", "what is said about"),
    Column("value", Text, comment="what is said"),
    Column("note", Text, comment="free text"),
    Index(None, "neuron_id"),
    Index(None, "key"),
)

# --- provenance ---------------------------------------------------------------------------

ingest_runs = Table(
    "ingest_runs",
    metadata,
    _id("run_id", "run"),
    _ref("model_id", "models.model_id", "model"),
    _ref("dataset_id", "dataset_rows.dataset_id", "dataset, when one was read", nullable=True),
    _word("tool_version", "version of neurondb"),
    _word("torch_version", "version of torch"),
    _word("fingerprint", "fingerprint of the model's weights"),
    _word("stages", "stages asked for"),
    _flag("fold", "norm gains and biases folded (METHODS §1)"),
    _flag("center", "LayerNorm models: in and out mean-centred"),
    _flag("center_gate", "LayerNorm models: gate mean-centred too"),
    _flag("fold_post_norm", "gain after the MLP folded into out"),
    _flag("canonicalise", "signs made canonical"),
    _word("dtype", "dtype of the forward pass"),
    _word("device", "device"),
    _int("seed", "seed of the sampled baselines"),
    _word("started_at", "UTC, ISO 8601"),
    _word("finished_at", "UTC, ISO 8601; NULL while running or when interrupted", nullable=True),
)

ingest_steps = Table(
    "ingest_steps",
    metadata,
    _id("step_id", "finished step: its rows were committed together with this one"),
    _ref("run_id", "ingest_runs.run_id", "run that finished it"),
    _ref("model_id", "models.model_id", "model"),
    _ref("dataset_id", "dataset_rows.dataset_id", "dataset of activations", nullable=True),
    _word("stage", "stage"),
    _int("layer", "layer; −1 for a step of the whole model"),
    _word("settings", "JSON of the choices the rows depend on"),
    _int("n_rows", "rows written"),
    _real("seconds", "seconds it took"),
    _word("finished_at", "UTC, ISO 8601"),
    Index(None, "model_id", "stage", "layer"),
)
