"""The columns of neuron_overview: which there are, which an answer shows, and in which order."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from neurondb.errors import UsageError
from neurondb.find.case_columns import parse_derived_column
from neurondb.find.percentiles import (
    format_percentile,
    get_ranked_key,
    write_percentile,
)
from neurondb.name_matching import quote_word, suggest_names
from neurondb.schema.views import CASE_COLUMNS, EFFECT_COLUMNS

NUMBER_COLUMNS: Final = {
    "layer": "layer, from 0",
    "neuron": "number within the layer, from 0",
    "neuron_id": "id in the database",
    "gate_in": "cos(gate, in)",
    "gate_out": "cos(gate, out)",
    "in_out": "cos(in, out)",
    "freq": "share of tokens with x_gate > 0",
    "gate_pos_in_pos": "share of tokens with x_gate > 0 and x_in > 0",
    "gate_pos_in_neg": "share of tokens with x_gate > 0 and x_in < 0",
    "gate_neg_in_pos": "share of tokens with x_gate < 0 and x_in > 0",
    "gate_neg_in_neg": "share of tokens with x_gate < 0 and x_in < 0",
    "gate_norm": "‖gate‖",
    "in_norm": "‖in‖",
    "out_norm": "‖out‖",
    "in_bias": "bias of x_in, canonical and folded; unknown where the MLP has none",
    "penalty": "weight-decay penalty ‖in‖² + ‖out‖² (+ ‖gate‖²)",
    "sign": "+1 or −1: what in and out were multiplied by",
    "pre_mean": "mean of hook_pre",
    "pre_variance": "variance of hook_pre",
    "pre_skewness": "skewness of hook_pre",
    "pre_kurtosis": "kurtosis of hook_pre (a Gaussian has 3)",
    "post_mean": "mean of hook_post",
    "post_variance": "variance of hook_post",
    "post_skewness": "skewness of hook_post",
    "post_kurtosis": "kurtosis of hook_post",
    "post_positive": "share of tokens with hook_post > 0",
    "out_kurtosis": "kurtosis of cos(U, out) over the vocabulary",
    "out_skewness": "skewness of cos(U, out)",
    "out_variance": "variance of cos(U, out)",
    "out_dot_variance": "variance of the dot product U·out",
    "null_share": "share of ‖out‖ in the null directions of U",
    "jaccard": "overlap of the top tokens of gate with those at one end of in, the better one",
    "lm_head_probability": "largest probability of the LM-head decoding of in, at +in or −in",
    "significant_in_out": "1 when cos(in, out) is outside the layer's random region, else 0",
    "ablated_loss": "mean loss, clean − without the neuron: below 0 where removing it hurts",
    "ablated_entropy": "mean entropy, clean − without the neuron",
    "ablated_rank": "mean rank of the correct token, clean − without the neuron",
    "ablated_scale": "mean divisor of the final norm, clean − without the neuron",
    "nearest_gate": "largest cosine of gate with that of another neuron of the model",
    "nearest_in": "the same of in",
    "nearest_out": "the same of out",
    "opposite_gate": "most negative cosine of gate with that of another neuron of the model",
    "opposite_in": "the same of in",
    "opposite_out": "the same of out",
    "attribution_loss": "first-order estimate of ablated_loss",
    "attribution_entropy": "first-order estimate of ablated_entropy",
    "expert": "expert that the neuron is of, from 0; unknown where the layer is not divided",
    "expert_neuron": "number within the expert, from 0",
    "routed_share": "share of tokens that are routed to its expert",
    "universal": "excess correlation with neurons of other models: above 0.5 it is universal",
}
"""Every numeric column of neuron_overview → what it holds."""

PLACE_COLUMNS: Final = ("layer", "neuron", "neuron_id", "expert", "expert_neuron")
"""Columns that are whole numbers from 0."""

SHARE_COLUMNS: Final = ("freq", *CASE_COLUMNS.values(), "post_positive", "routed_share")
"""Columns that are shares of tokens."""

_UNIT_COLUMNS: Final = ("null_share", "jaccard", "lm_head_probability")
"""Other columns that are between 0 and 1."""

ACTIVATION_COLUMNS: Final = frozenset(
    c for c in NUMBER_COLUMNS if c.startswith(("pre_", "post_"))
) | {*SHARE_COLUMNS}
VOCABULARY_COLUMNS: Final = frozenset(
    (
        *("out_kurtosis", "out_skewness", "out_variance", "out_dot_variance", "role"),
        *("top_out_token", *_UNIT_COLUMNS),
    )
)
"""Columns that are known once the activations, or the vocabulary, have been ingested."""

OTHER_COLUMNS: Final = {
    "model": "name of the model",
    "class": "read-write class, under either name",
    "io_class": "the same as class",
    "role": "prediction, suppression, partition or none",
    "name": "layer.neuron",
    "top_out_token": "token that out promotes most",
    "description": "what stands out of it, in a line",
}
"""Every other column of neuron_overview → what it holds."""

EFFECT_ALIASES: Final = {column.replace("_", ".", 1): column for column in EFFECT_COLUMNS}
"""How users write an effect of removing a neuron, `ablated.loss` → its column in the view."""

COLUMN_ALIASES: Final = {
    **CASE_COLUMNS,
    "gate_freq": "freq",
    "significant": "significant_in_out",
    **EFFECT_ALIASES,
}
"""Other spellings of a numeric column → its name in the view."""

DEFAULT_COLUMNS: Final = (
    *("model", "name", "class", "gate_in", "gate_out", "in_out", "freq", "role"),
    *("top_out_token", "description"),
)
"""Columns that `find` shows unless told otherwise."""
_ALL_COLUMNS: Final = '; `neurondb sql "SELECT * FROM neuron_overview LIMIT 1"` shows all'


class ResultShape(NamedTuple):
    """The shape of an answer: which columns, in which order, and how many neurons.

    An order key is a column, or `|column|` for its absolute value; `-` in front reverses it.
    Neurons for which the key is unknown come last.
    """

    columns: Sequence[str] = DEFAULT_COLUMNS
    order: Sequence[str] = ()
    limit: int | None = None


def parse_number_column(key: str) -> str | None:
    """Return the column that a key names; `|in_out|` for its absolute value.

    It is one of neuron_overview, or an effect under a condition, `ablated[gate-_post+].loss`, or
    universality in a sign case, `gate+_in-.universal`, or the percentile of one of these within a
    neuron's layer, `pct(out_norm)`.

    Raises:
        ExpressionError: when a key with a condition names no effect, one with a sign case no case,
            or a percentile no number by which neurons have an order.
    """
    if (ranked := get_ranked_key(key)) is not None:
        return format_percentile(key, ranked, parse_number_column(ranked))
    if len(key) > 2 and key[0] == key[-1] == "|":
        absolute_of = parse_number_column(key[1:-1])
        return None if absolute_of is None else f"|{absolute_of}|"
    lowered = key.lower()
    if lowered in COLUMN_ALIASES:
        return COLUMN_ALIASES[lowered]
    column = lowered.replace("-", "_")
    column = COLUMN_ALIASES.get(column, column)
    if column in NUMBER_COLUMNS:
        return column
    derived = parse_derived_column(key)
    return None if derived is None else derived.spelled


def choose_columns(
    order: Sequence[str], default: tuple[str, ...] = DEFAULT_COLUMNS
) -> tuple[str, ...]:
    """Return the columns to show by default: the usual ones and those of the order.

    A key that names no column is left to `compile_find` to refuse.
    """
    names = (key.removeprefix("-") for key in order)
    columns = ((parse_number_column(name) or name).strip("|") for name in names)
    return (*default, *(c for c in dict.fromkeys(columns) if c not in default))


def check_column(column: str) -> str:
    """Return the name of a column to show: in the view, or of what is derived beside it.

    Raises:
        UsageError: when there is none of that name; the message has similar names.
    """
    if (derived := parse_derived_column(column)) is not None:
        return derived.spelled
    if get_ranked_key(column) is not None:
        return str(parse_number_column(column))
    columns = (*NUMBER_COLUMNS, *OTHER_COLUMNS)
    column = EFFECT_ALIASES.get(column, column)
    if column not in columns:
        hint = suggest_names(column, columns)
        raise UsageError(f"unknown column {quote_word(column)}{hint or _ALL_COLUMNS}")
    return column


def write_column(column: str) -> str:
    """Return the SQL of a column by its name, or of the absolute value that `|column|` means."""
    if column.startswith("|"):
        return f"ABS({write_column(column.strip('|'))})"
    if get_ranked_key(column) is not None:
        return write_percentile(column)
    derived = parse_derived_column(column)
    return column if derived is None else derived.value_sql


def write_shown(column: str) -> str:
    """Return what stands in the SELECT list for a column by its name."""
    sql = write_column(column)
    return sql if sql == column else f'{sql} AS "{column}"'


def list_order_terms(keys: Sequence[str]) -> list[str]:
    """Return the terms of an ORDER BY for the keys of a `ResultShape`; the last one is the id.

    Raises:
        UsageError: when a key names no column.
    """
    terms = [term for key in keys for term in _make_order_terms(key)]
    return [*terms, "neuron_id"]


def parse_order_key(key: str) -> str:
    """Return the column that a key of a `ResultShape` orders by.

    Raises:
        UsageError: when it names no column.
    """
    name = key.removeprefix("-")
    return parse_number_column(name) or check_column(name)


def _make_order_terms(key: str) -> list[str]:
    direction = " DESC" if key.startswith("-") else ""
    column = parse_order_key(key)
    if column == "name":  # as numbers: 2.10 comes before 10.2
        return [f"layer{direction}", f"neuron{direction}"]
    return [f"{write_column(column)}{direction} NULLS LAST"]
