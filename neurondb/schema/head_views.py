"""The views of neurons and attention heads (METHODS §7), in words.

Each is a name, a SELECT that SQLite and PostgreSQL both read, and what a row is.
"""

from typing import Final

_NEURON_HEADS = """
SELECT m.name AS model, n.layer, n.neuron, n.name,
       r.neuron_id,
       r.head_layer, r.head, r.head_layer || '.' || r.head AS head_name, r.score, r.standardised,
       CASE WHEN r.score > 0 THEN 'deactivates' ELSE 'activates' END AS effect, r.rank, r.head_rank
FROM neuron_head_rows r
JOIN named_neurons n ON n.neuron_id = r.neuron_id
JOIN models m ON m.model_id = n.model_id
"""

_HEADS = """
SELECT m.name AS model, a.layer, a.head, a.layer || '.' || a.head AS name, a.key_head,
       a.query_norm, a.baseline_std, a.n_deactivating, a.n_activating, a.bos_norm, a.other_norm,
       a.norm_ratio, a.bos_attention
FROM attention_heads a
JOIN head_runs r ON r.run_id = a.run_id
JOIN models m ON m.model_id = r.model_id
"""

_HEAD_EFFECTS = """
SELECT m.name AS model, n.layer, n.neuron, n.name,
       a.neuron_id,
       a.head_layer, a.head, a.head_layer || '.' || a.head AS head_name, d.name AS dataset,
       a.score, a.standardised, a.n, a.n_firing, a.bos_attention, a.bos_change, a.output_norm,
       a.norm_change, a.firing_activation, a.firing_bos_attention, a.firing_bos_change,
       a.firing_output_norm, a.firing_norm_change, a.bos_correlation, a.norm_correlation
FROM head_ablations a
JOIN head_runs r ON r.run_id = a.run_id
JOIN models m ON m.model_id = r.model_id
JOIN named_neurons n ON n.neuron_id = a.neuron_id
LEFT JOIN dataset_rows d ON d.dataset_id = r.dataset_id
"""

_HEAD_EFFECT_CASES = """
SELECT m.name AS model, n.layer, n.neuron, n.name,
       a.neuron_id, a.head_layer, a.head, a.head_layer || '.' || a.head AS head_name,
       d.name AS dataset, e.score, e.standardised, s.sign_case, a.n, 1.0 * a.n / e.n AS share,
       a.activation, a.bos_attention, a.bos_change, a.output_norm, a.norm_change
FROM head_ablation_cases a
JOIN head_ablations e ON e.run_id = a.run_id AND e.neuron_id = a.neuron_id
                     AND e.head_layer = a.head_layer AND e.head = a.head
JOIN sign_case_names s ON s.sign_case_id = a.case_id
JOIN head_runs r ON r.run_id = a.run_id
JOIN models m ON m.model_id = r.model_id
JOIN named_neurons n ON n.neuron_id = a.neuron_id
LEFT JOIN dataset_rows d ON d.dataset_id = r.dataset_id
"""

HEAD_VIEWS: Final = (
    (
        "neuron_heads",
        _NEURON_HEADS,
        "A neuron and an attention head of a later layer, among the strongest of either: with a "
        "score above 0 firing raises the head's attention to BOS, which deactivates it.",
    ),
    (
        "heads",
        _HEADS,
        "An attention head: how far a neuron can move its attention to BOS, how many do, and what "
        "it writes where it attends to BOS beside what it writes elsewhere.",
    ),
    (
        "head_effects",
        _HEAD_EFFECTS,
        "What taking a neuron out of the input of a head's query changes, over the second halves "
        "of texts.",
    ),
    (
        "head_effect_cases",
        _HEAD_EFFECT_CASES,
        "The same by the sign case that the neuron is in at the query's token; share: of all "
        "positions measured.",
    ),
)
"""Name, SELECT and comment of each."""
