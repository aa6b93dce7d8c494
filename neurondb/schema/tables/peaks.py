"""The tokens that neurons fire on, after and before, in hook_post examples (METHODS §5)."""

from sqlalchemy import Column, Index, SmallInteger, Table, UniqueConstraint

from neurondb.schema.columns import CLUSTERED, code, integer, key, metadata, word

peak_token_lists = Table(
    "peak_token_lists",
    metadata,
    Column("list_id", SmallInteger, primary_key=True, comment="code"),
    word("sign_case", "sign case of the examples"),
    word("place", "peak, previous (the token before the peak) or next (the token after it)"),
    UniqueConstraint("sign_case", "place"),
)

peak_token_rows = Table(
    "peak_token_rows",
    metadata,
    key("neuron_id", "neurons.neuron_id", "neuron"),
    key("dataset_id", "dataset_rows.dataset_id", "dataset"),
    code("list_id", "peak_token_lists.list_id", "code of the sign case and the place"),
    Column(
        "rank",
        SmallInteger,
        primary_key=True,
        comment="place in the list, from 0: the most frequent first, among equals that of the "
        "stronger example",
    ),
    integer("token_id", "token"),
    Column(
        "count",
        SmallInteger,
        nullable=False,
        comment="in how many of the case's hook_post examples it stands there",
    ),
    Column(
        "best_rank",
        SmallInteger,
        nullable=False,
        comment="rank of the strongest of these examples (example_rows)",
    ),
    **CLUSTERED,
)
Index(
    "ix_peak_token_rows_token",
    peak_token_rows.c.token_id,
    peak_token_rows.c.list_id,
    peak_token_rows.c.neuron_id,
    peak_token_rows.c.count,
)
"""It covers what is asked of a token: which neurons, on which dataset, how often, at which rank."""
