"""The view of percent ranks: where a neuron stands in its layer by each of its numbers.

A row for each quantity, so that only the one that is asked for is sorted: of a row with all of
them, SQLite would sort the layer thirty times. Windows are over model and layer, the columns that a
question names, so that both databases look at the named layer only:

    SELECT name, percentile FROM neuron_percentiles
    WHERE model = 'llama-3.2-3b' AND layer = 20 AND quantity = 'out_norm' AND percentile > 0.99

A percent rank is (rank − 1) / (n − 1), as SQL defines it, among the n neurons whose number is
known.
"""

from typing import Final

RANKED_COLUMNS: Final = (
    *("gate_in", "gate_out", "in_out", "freq"),
    *("gate_pos_in_pos", "gate_pos_in_neg", "gate_neg_in_pos", "gate_neg_in_neg"),
    *("gate_norm", "in_norm", "out_norm", "in_bias", "penalty"),
    *("pre_mean", "pre_variance", "pre_skewness", "pre_kurtosis"),
    *("post_mean", "post_variance", "post_skewness", "post_kurtosis", "post_positive"),
    *("out_kurtosis", "out_skewness", "out_variance", "out_dot_variance"),
    *("null_share", "jaccard", "lm_head_probability"),
    *("nearest_gate", "nearest_in", "nearest_out"),
    *("opposite_gate", "opposite_in", "opposite_out"),
    *("ablated_loss", "ablated_entropy", "ablated_rank", "ablated_scale"),
    *("attribution_loss", "attribution_entropy"),
    "universal",
)
"""The columns of neuron_overview by which neurons have an order."""

_OF_ONE: Final = """
SELECT w.neuron_id, w.model, w.layer, w.neuron, w.name, '{column}' AS quantity, w.value,
       w.percentile
FROM (
    SELECT neuron_id, model, layer, neuron, name, {column} AS value,
           PERCENT_RANK() OVER (PARTITION BY model, layer ORDER BY {column}) AS percentile
    FROM neuron_overview
    WHERE {column} IS NOT NULL
) w
"""

NEURON_PERCENTILES: Final = "UNION ALL".join(
    _OF_ONE.format(column=column) for column in RANKED_COLUMNS
)
"""The SELECT of the view neuron_percentiles."""
