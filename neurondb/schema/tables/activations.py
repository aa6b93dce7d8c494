"""Texts, and what neurons do on them."""

from sqlalchemy import (
    Column,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
)

from neurondb.schema.codes import EXAMPLE_LISTS, QUANTITY_COLUMNS
from neurondb.schema.columns import (
    CLUSTERED,
    VALUE_BITS,
    code,
    flag,
    identity,
    integer,
    key,
    metadata,
    moments,
    place,
    real,
    reference,
    scaled,
    word,
)

dataset_rows = Table(
    "dataset_rows",
    metadata,
    identity("dataset_id", "dataset"),
    word("name", "name, unique", unique=True),
    word("source", "file, directory or hub id it was read from"),
    word("fingerprint", "sha256 over its texts in order"),
    integer("n_texts", "texts"),
)

text_samples = Table(
    "text_samples",
    metadata,
    key("dataset_id", "dataset_rows.dataset_id", "dataset whose texts were drawn at random"),
    integer("tokens", "tokens that were asked for"),
    integer("seed", "seed of the draw"),
    integer("n_source_texts", "texts that its own were drawn from"),
    **CLUSTERED,
)
"""Only of datasets that are a part of their source: all texts are no sample."""

tokenizations = Table(
    "tokenizations",
    metadata,
    key("model_id", "models.model_id", "model whose tokenizer was used"),
    key("dataset_id", "dataset_rows.dataset_id", "dataset"),
    integer("max_len", "tokens a text at most, the prefix token included"),
    integer("prefix_token_id", "token put first: BOS, or EOS where there is none", nullable=True),
    flag("skip_bos", "whether the first position is left out of the counts", nullable=False),
    integer("n_tokens", "tokens counted"),
    integer("n_truncated", "texts cut at max_len"),
    **CLUSTERED,
)

labels = Table(
    "labels",
    metadata,
    identity("label_id", "label"),
    reference("dataset_id", "dataset_rows.dataset_id", "dataset whose texts it tells apart"),
    word("label", "name of that part of the dataset: a sub-corpus, a language"),
    UniqueConstraint("dataset_id", "label"),
)

texts = Table(
    "texts",
    metadata,
    identity("text_id", "text"),
    reference("dataset_id", "dataset_rows.dataset_id", "its dataset"),
    integer("ordinal", "place in the dataset, from 0"),
    Column("text", Text, nullable=False, comment="the text, stripped"),
    reference("label_id", "labels.label_id", "its label, if it has one", nullable=True),
    UniqueConstraint("dataset_id", "ordinal"),
)

text_token_ids = Table(
    "text_token_ids",
    metadata,
    key("model_id", "models.model_id", "model whose tokenizer was used"),
    key("text_id", "texts.text_id", "text"),
    Column(
        "token_ids",
        LargeBinary,
        nullable=False,
        comment="its token ids, the prefix first, as little-endian unsigned 32-bit integers",
    ),
)
"""Not clustered: rows of kilobytes fill pages of a rowid table better, by a quarter."""

activation_stats = Table(
    "activation_stats",
    metadata,
    key("neuron_id", "neurons.neuron_id", "neuron"),
    key("dataset_id", "dataset_rows.dataset_id", "dataset"),
    integer("n_tokens", "tokens counted; NULL where an import does not say", nullable=True),
    real("freq", "share of tokens with x_gate > 0; NULL when ungated"),
    *moments("pre", "hook_pre (x_gate; ungated: x_in)"),
    *moments("post", "hook_post, canonical sign"),
    real("post_positive", "share of tokens with hook_post > 0, canonical sign"),
    Column(
        "n_nonfinite",
        Integer,
        nullable=False,
        server_default="0",
        comment="tokens left out because gate, in or post was NaN or infinite there",
    ),
    Index(None, "dataset_id", "freq", "neuron_id"),
    **CLUSTERED,
)

sign_case_names = Table(
    "sign_case_names",
    metadata,
    Column("sign_case_id", SmallInteger, primary_key=True, comment="code"),
    word("sign_case", "signs of x_gate and canonical x_in (METHODS §5)", unique=True),
)

sign_case_rows = Table(
    "sign_case_rows",
    metadata,
    key("neuron_id", "neurons.neuron_id", "neuron"),
    key("dataset_id", "dataset_rows.dataset_id", "dataset"),
    code("sign_case_id", "sign_case_names.sign_case_id", "code of the sign case"),
    integer("count", "tokens in the case; NULL where an import does not say", nullable=True),
    real("freq", "share of all counted tokens; NULL when none was counted"),
    *(
        real(f"{quantity}_{statistic}", f"{statistic} of {quantity} over the case's tokens")
        for quantity in QUANTITY_COLUMNS
        for statistic in ("mean", "min", "max")
    ),
    **CLUSTERED,
)

example_lists = Table(
    "example_lists",
    metadata,
    Column("list_id", SmallInteger, primary_key=True, comment="code"),
    word("sign_case", "sign case"),
    word("quantity", "hook_post, hook_pre_linear, hook_pre or swish"),
    UniqueConstraint("sign_case", "quantity"),
)

example_rows = Table(
    "example_rows",
    metadata,
    key("neuron_id", "neurons.neuron_id", "neuron"),
    key("dataset_id", "dataset_rows.dataset_id", "dataset"),
    *place(
        "example_lists.list_id",
        len(EXAMPLE_LISTS),
        "place in the list, from 0, which has the largest |value|",
    ),
    reference("text_id", "texts.text_id", "text"),
    integer(
        "position",
        "token position in the text; the prefix token has 0; -1 where an import does not say, "
        "which the view shows as NULL",
    ),
    scaled(
        "value",
        VALUE_BITS,
        "the signed value there; in and post × the neuron's sign (METHODS §1)",
    ),
    **CLUSTERED,
)

expert_routing = Table(
    "expert_routing",
    metadata,
    key("model_id", "models.model_id", "model"),
    key("dataset_id", "dataset_rows.dataset_id", "dataset"),
    Column("layer", Integer, primary_key=True, autoincrement=False, comment="layer"),
    Column(
        "expert",
        Integer,
        primary_key=True,
        autoincrement=False,
        comment="expert, from 0; the shared one is the last",
    ),
    integer("n_tokens", "counted tokens that were routed to it"),
    integer("n_all_tokens", "counted tokens of the dataset"),
    real(
        "share",
        "share of the counted tokens that were routed to it; NULL when none was counted",
    ),
    real(
        "mean_weight",
        "mean of what the router multiplied its output by, over the tokens routed to it; NULL when "
        "there is none, and of the shared expert",
    ),
    **CLUSTERED,
)
"""Statistics of a neuron of an expert are over the tokens routed to it; times `share`, frequencies
are those of all tokens. Layers that are not divided have no rows."""
