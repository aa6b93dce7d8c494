"""More of what neurons do on texts: histograms, by label, controls, traces (METHODS §5).

Histograms and traces are read by pages and figures only, so they are packed: a row of numbers
each would be 60 rows a neuron and quantity, and as many as a trace has tokens.
"""

from sqlalchemy import Column, Integer, LargeBinary, SmallInteger, Table

from neurondb.schema.columns import CLUSTERED, code, integer, key, metadata, real, reference, word

quantities = Table(
    "quantities",
    metadata,
    Column("quantity_id", SmallInteger, primary_key=True, comment="code"),
    word("quantity", "hook_post, hook_pre_linear, hook_pre or swish", unique=True),
)

activation_histograms = Table(
    "activation_histograms",
    metadata,
    key("neuron_id", "neurons.neuron_id", "neuron"),
    key("dataset_id", "dataset_rows.dataset_id", "dataset"),
    code("quantity_id", "quantities.quantity_id", "code of the quantity, canonical sign"),
    Column(
        "counts",
        LargeBinary,
        nullable=False,
        comment="tokens in each of the 60 bins of neurondb.histogram, ascending, of every eighth "
        "position; as unsigned LEB128 integers",
    ),
    **CLUSTERED,
)

label_stats = Table(
    "label_stats",
    metadata,
    key("neuron_id", "neurons.neuron_id", "neuron"),
    key("dataset_id", "dataset_rows.dataset_id", "dataset"),
    key("label_id", "labels.label_id", "label: only its texts count"),
    integer("n_tokens", "tokens counted"),
    real("freq", "share of them with x_gate > 0; NULL when ungated"),
    real("pre_mean", "mean of hook_pre (x_gate; ungated: x_in)"),
    real("pre_variance", "population variance of hook_pre"),
    real("post_mean", "mean of hook_post, canonical sign"),
    real("post_variance", "population variance of hook_post"),
    real("post_positive", "share of tokens with hook_post > 0, canonical sign"),
    **CLUSTERED,
)

control_kinds = Table(
    "control_kinds",
    metadata,
    Column("kind_id", SmallInteger, primary_key=True, comment="code"),
    word("kind", "random, or the quarter of the drawn texts by |peak|", unique=True),
)

control_example_rows = Table(
    "control_example_rows",
    metadata,
    key("neuron_id", "neurons.neuron_id", "neuron"),
    key("dataset_id", "dataset_rows.dataset_id", "dataset"),
    code("kind_id", "control_kinds.kind_id", "code of the kind"),
    Column("rank", SmallInteger, primary_key=True, comment="place in the list, from 0"),
    reference("text_id", "texts.text_id", "text"),
    integer("position", "token position of its peak, the largest |hook_post| of the text"),
    real("value", "hook_post there, canonical sign", nullable=False),
    **CLUSTERED,
)

token_stat_places = Table(
    "token_stat_places",
    metadata,
    Column("place_id", SmallInteger, primary_key=True, comment="code"),
    word(
        "place",
        "current: the token is at the position; previous: just before it; next: just after it",
        unique=True,
    ),
)

token_stat_rows = Table(
    "token_stat_rows",
    metadata,
    key("neuron_id", "neurons.neuron_id", "neuron"),
    key("dataset_id", "dataset_rows.dataset_id", "dataset"),
    code("place_id", "token_stat_places.place_id", "code of the place"),
    Column(
        "rank",
        SmallInteger,
        primary_key=True,
        comment="place in the list, from 0, which has the largest |mean|",
    ),
    integer("token_id", "token, one of the dataset's most frequent"),
    real("mean", "mean of hook_post, canonical sign, over these positions", nullable=False),
    real("freq", "share of them with x_gate > 0 (ungated: hook_post > 0)", nullable=False),
    integer("n", "counted positions that have the token at this place"),
    **CLUSTERED,
)

trace_rows = Table(
    "trace_rows",
    metadata,
    key("neuron_id", "neurons.neuron_id", "neuron"),
    key("dataset_id", "dataset_rows.dataset_id", "dataset"),
    key("text_id", "texts.text_id", "text"),
    Column(
        "position", Integer, primary_key=True, comment="token position of the peak it is around"
    ),
    integer("start", "token position of its first value"),
    integer("n_tokens", "tokens"),
    Column(
        "trace",
        LargeBinary,
        nullable=False,
        comment="gate, in and post (ungated: in and post) of each token, one quantity after the "
        "other, canonical signs; as little-endian float16, saturated at ±65504",
    ),
    **CLUSTERED,
)
