"""Every view: the relations that people query, in words.

Plain SQL that SQLite and PostgreSQL both read. Views are dropped before a migration and created
again after it (`neurondb.migrate`), so they always match this file.
"""

from typing import Final, NamedTuple

from neurondb.schema import places
from neurondb.schema.codes import (
    BASES,
    DIRECTIONS,
    EXAMPLE_LISTS,
    GATED_CASES,
    PEAK_PLACES,
    QUANTITIES,
    QUANTITY_COLUMNS,
    SIGN_CASES,
    UNKNOWN_POSITION,
    VECTORS,
    encode_token_list,
)
from neurondb.schema.columns import COSINE_BITS, VALUE_BITS, write_unscaled
from neurondb.schema.concept_views import CONCEPT_VIEWS
from neurondb.schema.head_views import HEAD_VIEWS
from neurondb.schema.named_neurons import NAMED_NEURONS
from neurondb.schema.neighbour_views import NEIGHBOUR_VIEWS, write_neighbour_columns
from neurondb.schema.percentiles import NEURON_PERCENTILES
from neurondb.schema.run_views import RUN_VIEWS
from neurondb.schema.series_views import SERIES_VIEWS


class View(NamedTuple):
    """A view: its name, its SELECT, and what each row of it is."""

    name: str
    select: str
    comment: str


CASE_COLUMNS: Final = {
    "gate+_in+": "gate_pos_in_pos",
    "gate+_in-": "gate_pos_in_neg",
    "gate-_in+": "gate_neg_in_pos",
    "gate-_in-": "gate_neg_in_neg",
}
"""Sign case → the column of neuron_overview with its frequency."""

PARTITION_VARIANCE: Final = 0.005
ROLE_KURTOSIS: Final = 10


def _case_statistics() -> str:
    return ", ".join(
        f"r.{quantity}_{statistic}"
        for quantity in QUANTITY_COLUMNS
        for statistic in ("mean", "min", "max")
    )


# The dot product is a subquery, so that only rows whose dot is shown look up the two norms.
_COSINE = write_unscaled("cosine", COSINE_BITS)
_VALUE = write_unscaled("value", VALUE_BITS)

_TOP_TOKENS = f"""
SELECT r.neuron_id, l.vector, l.basis, l.direction, r.rank, r.token_id, {_COSINE} AS cosine,
       {_COSINE} * (SELECT CASE l.vector WHEN 'gate' THEN n.gate_norm WHEN 'in' THEN n.in_norm
                                        ELSE n.out_norm END
                          * CASE l.basis WHEN 'unembed' THEN t.unembed_norm ELSE t.embed_norm END
                   FROM neurons n
                   JOIN tokens t ON t.model_id = n.model_id AND t.token_id = r.token_id
                   WHERE n.neuron_id = r.neuron_id) AS dot
FROM top_token_rows r
JOIN token_lists l ON l.list_id = r.list_id
"""

_VOCAB_STATS = """
SELECT r.neuron_id, v.vector, r.mean, r.variance, r.skewness, r.kurtosis, r.dot_variance,
       r.null_share
FROM vocab_stat_rows r
JOIN vectors v ON v.vector_id = r.vector_id
"""

_PROPERTIES_OF_TOKENS = """
SELECT m.name AS model, r.token_id, t.token, p.name AS property
FROM token_property_rows r
JOIN models m ON m.model_id = r.model_id
JOIN properties p ON p.property_id = r.property_id
JOIN tokens t ON t.model_id = r.model_id AND t.token_id = r.token_id
"""

_NEURON_PROPERTY_EFFECTS = """
SELECT m.name AS model, n.layer, n.neuron, n.name, e.neuron_id,
       p.name AS property, e.effect, e.inside_mean, e.outside_mean
FROM property_effects e
JOIN named_neurons n ON n.neuron_id = e.neuron_id
JOIN models m ON m.model_id = n.model_id
JOIN properties p ON p.property_id = e.property_id
"""

_LOGIT_EFFECTS = """
SELECT m.name AS model, n.layer, n.neuron, n.name,
       r.neuron_id, p.name AS property, r.low, r.high, r.n, r.n_inside
FROM logit_effect_rows r
JOIN named_neurons n ON n.neuron_id = r.neuron_id
JOIN models m ON m.model_id = n.model_id
JOIN properties p ON p.property_id = r.property_id
"""

_COMPARED_NEURONS = """
SELECT c.comparison_id, a.name AS model_a, b.name AS model_b, r.layer, r.neuron,
       r.layer || '.' || r.neuron AS name, r.gate_cosine, r.in_cosine, r.out_cosine, r.same_token,
       ka.name AS class_a, kb.name AS class_b, r.moved
FROM comparison_neurons r
JOIN comparisons c ON c.comparison_id = r.comparison_id
JOIN models a ON a.model_id = c.model_a
JOIN models b ON b.model_id = c.model_b
LEFT JOIN rw_classes ka ON ka.class_id = r.class_a
LEFT JOIN rw_classes kb ON kb.class_id = r.class_b
"""

_POST_OF_CASE = f"r.sign_case_id * {len(QUANTITIES)}"
# Evaluated only where it is asked for: the list is sixteen rows side by side.
_BOS_ONLY = f"""(SELECT CASE WHEN MAX(e.position) = 0 THEN 1 WHEN MAX(e.position) > 0 THEN 0 END
        FROM example_rows e
        WHERE e.neuron_id = r.neuron_id AND e.dataset_id = r.dataset_id
          AND {places.write_is_of_list("e", _POST_OF_CASE, len(EXAMPLE_LISTS))})"""

_HOOK_POST_LIST = f"r.list_id / {len(PEAK_PLACES)} * {len(QUANTITIES)}"
_IS_OF_LIST = places.write_is_of_list("e", _HOOK_POST_LIST, len(EXAMPLE_LISTS))

_SIGN_CASES = f"""
SELECT r.neuron_id, r.dataset_id, c.sign_case, r.count, r.freq, {_case_statistics()},
       {_BOS_ONLY} AS bos_only
FROM sign_case_rows r
JOIN sign_case_names c ON c.sign_case_id = r.sign_case_id
"""

_EXAMPLES = f"""
SELECT r.neuron_id, r.dataset_id, l.sign_case, l.quantity, r.rank, r.text_id,
       NULLIF(r.position, {UNKNOWN_POSITION}) AS position, {_VALUE} AS value
FROM example_rows r
JOIN example_lists l ON l.list_id = r.list_id
"""

# How many examples, and how strong, are looked up in the list itself: only rows that are shown pay.
# A case's codes begin, in both tables of lists, at a multiple of the number of its lists.
_PEAK_TOKENS = f"""
SELECT r.neuron_id, r.dataset_id, l.sign_case, l.place, r.rank, r.token_id,
       (SELECT t.token FROM tokens t
        JOIN neurons n ON n.model_id = t.model_id
        WHERE n.neuron_id = r.neuron_id AND t.token_id = r.token_id) AS token,
       r.count,
       (SELECT COUNT(*) FROM example_rows e
        WHERE e.neuron_id = r.neuron_id AND e.dataset_id = r.dataset_id
          AND {_IS_OF_LIST}) AS list_size,
       (SELECT e.scaled_value / {2.0**VALUE_BITS} FROM example_rows e
        WHERE e.neuron_id = r.neuron_id AND e.dataset_id = r.dataset_id
          AND e.rank = r.best_rank AND {_IS_OF_LIST}) AS value
FROM peak_token_rows r
JOIN peak_token_lists l ON l.list_id = r.list_id
"""

_CONTROL_EXAMPLES = """
SELECT r.neuron_id, r.dataset_id, k.kind, r.rank, r.text_id, r.position, r.value
FROM control_example_rows r
JOIN control_kinds k ON k.kind_id = r.kind_id
"""

# Tokens have texts once the vocabulary stage has stored them.
_FREQUENT_TOKENS = """
SELECT r.neuron_id, r.dataset_id, p.place, r.rank, r.token_id,
       (SELECT t.token FROM neurons n
        JOIN tokens t ON t.model_id = n.model_id AND t.token_id = r.token_id
        WHERE n.neuron_id = r.neuron_id) AS token,
       r.mean, r.freq, r.n
FROM token_stat_rows r
JOIN token_stat_places p ON p.place_id = r.place_id
"""

_DATASETS = """
SELECT d.dataset_id, d.name, d.source, d.fingerprint, d.n_texts,
       (SELECT z.n_tokens FROM tokenizations z WHERE z.dataset_id = d.dataset_id
        ORDER BY z.model_id LIMIT 1) AS n_tokens,
       s.tokens AS sample_tokens, s.seed AS sample_seed, s.n_source_texts
FROM dataset_rows d
LEFT JOIN text_samples s ON s.dataset_id = d.dataset_id
"""

# Region of a layer's random cosines: the mismatched one, and where that is missing the closed form.
_REGIONS = """
SELECT g.model_id, g.layer, g.pair, COALESCE(x.low, g.low) AS low, COALESCE(x.high, g.high) AS high,
       CASE WHEN x.low IS NULL THEN 'gaussian' ELSE 'mismatched' END AS kind
FROM baselines g
LEFT JOIN baselines x ON x.model_id = g.model_id AND x.layer = g.layer AND x.pair = g.pair
                     AND x.kind = 'mismatched'
WHERE g.kind = 'gaussian'
"""


def _role() -> str:
    heavy_tailed = f"o.kurtosis > {ROLE_KURTOSIS}"
    return (
        f"CASE WHEN {heavy_tailed} AND o.skewness > 0 THEN 'prediction' "
        f"WHEN {heavy_tailed} AND o.skewness < 0 THEN 'suppression' "
        f"WHEN o.variance > {PARTITION_VARIANCE} THEN 'partition' END"
    )


def _case_columns() -> str:
    return ",\n       ".join(
        f"(SELECT s.freq FROM sign_case_rows s WHERE s.neuron_id = n.neuron_id "
        f"AND s.dataset_id = m.dataset_id AND s.sign_case_id = {code}) "
        f"AS {CASE_COLUMNS[SIGN_CASES[code]]}"
        for code in GATED_CASES
    )


# What a question seldom filters by is a subquery: only rows that are shown pay for it, and an outer
# join that a question does not touch is left out. The class is joined inner, for SQLite reaches the
# index by class through one outer join, not through two; every neuron gets its class in the step
# after its own.
_OUT_TOP = encode_token_list(VECTORS.index("out"), BASES.index("unembed"), DIRECTIONS.index("top"))

EFFECT_COLUMNS: Final = {
    f"{kind}_{metric}": (table, run, metric)
    for kind, table, run, metrics in (
        ("ablated", "neuron_effects", "each_run_id", ("loss", "entropy", "rank", "scale")),
        ("attribution", "neuron_attributions", "attribution_run_id", ("loss", "entropy")),
    )
    for metric in metrics
}
"""Column of neuron_overview → the table, the run and the metric that it is the mean of."""


def _effect_columns() -> str:
    return ",\n       ".join(
        f"(SELECT e.mean FROM {table} e WHERE e.run_id = m.{run} AND e.metric = '{metric}' "
        f"AND e.neuron_id = n.neuron_id) AS {column}"
        for column, (table, run, metric) in EFFECT_COLUMNS.items()
    )


# Of the newest run. A run's rows of a neuron lie side by side, one for each other model.
_UNIVERSAL = """(SELECT AVG(u.correlation) - AVG(u.baseline) FROM universality u
        WHERE u.neuron_id = n.neuron_id
          AND u.run_id = (SELECT MAX(r.run_id) FROM universality_runs r
                          WHERE r.model_id = n.model_id))"""

_NEURON_OVERVIEW = f"""
SELECT m.name AS model, n.layer, n.neuron, n.name,
       n.neuron_id, k.name AS class, k.io_name AS io_class, c.gate_in, c.gate_out, c.in_out, a.freq,
       {_case_columns()},
       n.gate_norm, n.in_norm, n.out_norm, n.in_bias, n.penalty, n.sign,
       a.pre_mean, a.pre_variance, a.pre_skewness, a.pre_kurtosis,
       a.post_mean, a.post_variance, a.post_skewness, a.post_kurtosis, a.post_positive,
       o.kurtosis AS out_kurtosis, o.skewness AS out_skewness, o.variance AS out_variance,
       o.dot_variance AS out_dot_variance, o.null_share,
       {_role()} AS role,
       (SELECT t.token FROM top_token_rows p
        JOIN tokens t ON t.model_id = n.model_id AND t.token_id = p.token_id
        WHERE p.neuron_id = n.neuron_id AND p.list_id = {_OUT_TOP} AND p.rank = 0)
       AS top_out_token,
       (SELECT d.jaccard FROM double_checking d WHERE d.neuron_id = n.neuron_id) AS jaccard,
       (SELECT MAX(h.probability) FROM lm_head_tokens h WHERE h.neuron_id = n.neuron_id)
       AS lm_head_probability,
       CASE WHEN c.in_out IS NOT NULL THEN
           (SELECT CASE WHEN c.in_out < g.low OR c.in_out > g.high THEN 1 ELSE 0 END
            FROM baselines g
            WHERE g.model_id = n.model_id AND g.layer = n.layer AND g.pair = 'in_out'
            ORDER BY g.kind DESC LIMIT 1) END AS significant_in_out,
       {_effect_columns()},
       {_UNIVERSAL} AS universal, {write_neighbour_columns()},
       (SELECT d.text FROM descriptions d WHERE d.neuron_id = n.neuron_id) AS description,
       n.expert, n.expert_neuron, (SELECT r.share FROM expert_routing r
        WHERE r.model_id = n.model_id AND r.dataset_id = m.dataset_id AND r.layer = n.layer
          AND r.expert = n.expert) AS routed_share
FROM named_neurons n
JOIN models m ON m.model_id = n.model_id
LEFT JOIN cosines c ON c.neuron_id = n.neuron_id
JOIN classes q ON q.neuron_id = n.neuron_id AND q.threshold = m.threshold
JOIN rw_classes k ON k.class_id = q.class_id
LEFT JOIN activation_stats a ON a.neuron_id = n.neuron_id AND a.dataset_id = m.dataset_id
LEFT JOIN vocab_stat_rows o ON o.neuron_id = n.neuron_id AND o.vector_id = {VECTORS.index("out")}
"""


def make_overview_on(dataset: str) -> str:
    """Return neuron_overview's SELECT with activations on a dataset instead of the shown one.

    `dataset` is SQL for its id. Neurons without activations on it are left out.
    """
    select = _NEURON_OVERVIEW.strip().replace("m.dataset_id", dataset)
    return f"{select}\nWHERE a.neuron_id IS NOT NULL"


VIEWS: Final = (
    View(*NAMED_NEURONS),
    View("top_tokens", _TOP_TOKENS, "A token at the top or bottom of a neuron's list."),
    View("vocab_stats", _VOCAB_STATS, "Moments of cos(U, vector) over the vocabulary."),
    View("token_properties", _PROPERTIES_OF_TOKENS, "A token that has a property."),
    View(
        "neuron_property_effects",
        _NEURON_PROPERTY_EFFECTS,
        "How differently a neuron acts on the logits of tokens with a property and of all others.",
    ),
    View(
        "logit_effects",
        _LOGIT_EFFECTS,
        "How many tokens a neuron's out vector has this cosine with, and how many of them have the "
        "property; of neurons with a role, and of those that act on a property the most.",
    ),
    *(View(*view) for view in (*CONCEPT_VIEWS, *RUN_VIEWS, *NEIGHBOUR_VIEWS, *HEAD_VIEWS)),
    View("compared_neurons", _COMPARED_NEURONS, "The same neuron in two models."),
    *(View(*view) for view in SERIES_VIEWS),
    View(
        "sign_cases",
        _SIGN_CASES,
        "Statistics of one sign case of a neuron on a dataset; bos_only: 1 where all peaks of its "
        "hook_post examples stand at position 0, which says something about BOS, not about text.",
    ),
    View("examples", _EXAMPLES, "A text on which a neuron is extreme."),
    View(
        "peak_tokens",
        _PEAK_TOKENS,
        "A token on which a neuron fires, or after or before which it does: how many of a sign "
        "case's hook_post examples (list_size) have it at their peak, before or after it, and "
        "hook_post in the strongest of these.",
    ),
    View(
        "control_examples",
        _CONTROL_EXAMPLES,
        "A text drawn at random, from all or from a quarter by |peak|, to compare examples with.",
    ),
    View(
        "token_stats",
        _FREQUENT_TOKENS,
        "What a neuron does where a frequent token stands, just after it and just before it; the "
        "mean over all positions is activation_stats.post_mean.",
    ),
    View("datasets", _DATASETS, "A dataset; n_tokens as the first model that read it counted."),
    View("random_regions", _REGIONS, "Region that the random cosines of a layer fill."),
    View("neuron_overview", _NEURON_OVERVIEW, "One row a neuron: what is known about it."),
    View(
        "neuron_percentiles",
        NEURON_PERCENTILES,
        "Where a neuron stands in its layer by a number of neuron_overview, the quantity: its "
        "percent rank, (rank − 1) / (n − 1), from 0 (smallest) to 1, of the n whose value is "
        "known. Name quantity, model and layer: only what is named is sorted.",
    ),
)
