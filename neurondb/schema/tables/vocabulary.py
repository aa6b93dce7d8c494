"""Vocabularies, and what tokens neurons read and write."""

from sqlalchemy import Column, Index, Integer, SmallInteger, Table, UniqueConstraint

from neurondb.schema.columns import (
    CLUSTERED,
    COSINE_BITS,
    code,
    integer,
    key,
    metadata,
    real,
    scaled,
    word,
)


def _side() -> Column[int]:
    return Column(
        "side",
        SmallInteger,
        primary_key=True,
        comment="1: +in, −1: −in, in the checkpoint's sign; of ungated neurons only 1",
    )


tokens = Table(
    "tokens",
    metadata,
    key("model_id", "models.model_id", "model"),
    Column("token_id", Integer, primary_key=True, autoincrement=False, comment="row of E and U"),
    word("token", "its text, as it stands in a text: ' dog'; lone bytes as \\xNN"),
    word("piece", "its spelling in the tokenizer's own vocabulary: 'Ġdog'", nullable=True),
    real("unembed_norm", "norm of its row of U, folded and centred (METHODS §1); NULL if unknown"),
    real("embed_norm", "norm of its row of E, as stored; NULL if unknown"),
    Index(None, "token", "model_id"),
    **CLUSTERED,
)

vectors = Table(
    "vectors",
    metadata,
    Column("vector_id", SmallInteger, primary_key=True, comment="code"),
    word("vector", "gate, in or out", unique=True),
)

vocab_stat_rows = Table(
    "vocab_stat_rows",
    metadata,
    key("neuron_id", "neurons.neuron_id", "neuron"),
    code("vector_id", "vectors.vector_id", "code of the vector"),
    real("mean", "mean of cos(U, vector) over the vocabulary; U folded and centred (METHODS §1)"),
    real("variance", "population variance of cos(U, vector)"),
    real("skewness", "skewness of cos(U, vector)"),
    real("kurtosis", "Pearson kurtosis of cos(U, vector)"),
    real("dot_variance", "population variance of the dot product U·vector"),
    real(
        "null_share",
        "out only: share of ‖out‖ in the null directions of U (METHODS §4); NULL if not computed",
    ),
    **CLUSTERED,
)

token_lists = Table(
    "token_lists",
    metadata,
    Column("list_id", SmallInteger, primary_key=True, comment="code"),
    word("vector", "gate, in or out"),
    word("basis", "unembed (U, folded and centred) or embed (E, as stored)"),
    word("direction", "top or bottom"),
    UniqueConstraint("vector", "basis", "direction"),
)

top_token_rows = Table(
    "top_token_rows",
    metadata,
    key("neuron_id", "neurons.neuron_id", "neuron"),
    code("list_id", "token_lists.list_id", "code of the list"),
    Column(
        "rank",
        SmallInteger,
        nullable=False,
        comment="place in the list, from 0, which is the most extreme",
    ),
    Column(
        "token_id",
        Integer,
        primary_key=True,
        autoincrement=False,
        comment="token; a list has it once",
    ),
    scaled("cosine", COSINE_BITS, "cos(vector, row of the basis)"),
    **CLUSTERED,
)
Index(
    "ix_top_token_rows_token",
    top_token_rows.c.token_id,
    top_token_rows.c.list_id,
    top_token_rows.c.neuron_id,
)
"""The token stands in the key, not the rank: an index has its own columns and those of the key,
and this one would have the ranks too."""

lm_head_tokens = Table(
    "lm_head_tokens",
    metadata,
    key("neuron_id", "neurons.neuron_id", "neuron"),
    _side(),
    integer("token_id", "token of largest probability under softmax(U·side·in), both raw"),
    real("probability", "that probability", nullable=False),
    real("normalised", "÷ mean of the 100 largest probabilities of that side", nullable=False),
    Index(None, "token_id"),
    **CLUSTERED,
)
"""LM-head decoding (METHODS §4). The sign of a gated neuron's `in` is arbitrary: +in and −in are
decoded, in the checkpoint's sign, not the canonical one. An ungated neuron's is not: +in alone."""

lm_head_rows = Table(
    "lm_head_rows",
    metadata,
    Column(
        "token_id",
        Integer,
        primary_key=True,
        autoincrement=False,
        comment="token chosen, of the neuron's model",
    ),
    _side(),
    key("neuron_id", "neurons.neuron_id", "neuron, every one of the model"),
    real("probability", "of this token under softmax(U·side·in), both raw", nullable=False),
    real("normalised", "÷ mean of the 100 largest probabilities of that side", nullable=False),
    **CLUSTERED,
)
"""LM-head decoding of tokens that somebody asked for, for all neurons and their sides;
`lm_head_tokens` has the sides' own top tokens instead."""

double_checking = Table(
    "double_checking",
    metadata,
    key("neuron_id", "neurons.neuron_id", "neuron of a gated model"),
    integer("k", "tokens of each list"),
    real(
        "jaccard",
        "overlap of the top tokens of gate under U with the tokens of in at relative_sign; NULL "
        "when a vector is zero",
    ),
    real("bottom_jaccard", "the same of the bottom tokens of gate and the other end of in"),
    Column(
        "relative_sign",
        SmallInteger,
        comment="which end of in overlaps more with the top of gate: 1 the top (equal too), "
        "-1 the bottom; NULL with jaccard",
    ),
    Index(None, "jaccard"),
)
"""Whether gate and in look for the same tokens (METHODS §4; weakening-neurons App. E)."""
