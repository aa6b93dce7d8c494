"""The SQL behind each panel of the neuron page, over the relations that users' SQL relies on."""

from collections.abc import Mapping
from typing import Final

from neurondb.explore.sql import LAYER_COSINES as _LAYER
from neurondb.explore.sql import Sql
from neurondb.reading.families import NEURON_STATEMENT

_OVERVIEW: Final = """SELECT * FROM neuron_overview
WHERE neuron_id = :neuron_id"""
_COSINES: Final = """SELECT b.pair, b.kind, b.low, b.high,
  CASE b.pair WHEN 'gate_in' THEN c.gate_in WHEN 'gate_out' THEN c.gate_out
  ELSE c.in_out END AS cosine
FROM neurons n
JOIN cosines c ON c.neuron_id = n.neuron_id
JOIN baselines b ON b.model_id = n.model_id AND b.layer = n.layer
WHERE n.neuron_id = :neuron_id
ORDER BY b.pair, b.kind"""
_CASES: Final = """SELECT * FROM sign_cases
WHERE neuron_id = :neuron_id AND dataset_id = :dataset_id"""
_PEAKS: Final = """SELECT sign_case, place, rank, token, count, list_size, value
FROM peak_tokens
WHERE neuron_id = :neuron_id AND dataset_id = :dataset_id
ORDER BY sign_case, place, rank"""
_TOKENS: Final = """SELECT p.vector, p.direction, p.rank, t.token, p.cosine, p.dot
FROM top_tokens p
JOIN neurons n ON n.neuron_id = p.neuron_id
JOIN tokens t ON t.model_id = n.model_id AND t.token_id = p.token_id
WHERE p.neuron_id = :neuron_id AND p.basis = :basis
ORDER BY p.vector, p.direction DESC, p.rank"""
_MOMENTS: Final = """SELECT vector, mean, variance, skewness, kurtosis, dot_variance, null_share
FROM vocab_stats
WHERE neuron_id = :neuron_id"""
_EFFECTS: Final = """SELECT property, effect, inside_mean, outside_mean
FROM neuron_property_effects
WHERE neuron_id = :neuron_id
ORDER BY effect DESC"""
_ACTIVATIONS: Final = """SELECT * FROM activation_stats
WHERE neuron_id = :neuron_id AND dataset_id = :dataset_id"""
_LABELS: Final = """SELECT l.label, s.n_tokens, s.freq, s.pre_mean, s.post_mean, s.post_positive
FROM label_stats s
JOIN labels l ON l.label_id = s.label_id
WHERE s.neuron_id = :neuron_id AND s.dataset_id = :dataset_id
ORDER BY s.freq DESC"""
_BY_FREQUENT_TOKENS: Final = """SELECT place, rank, token_id, token, mean, freq, n
FROM token_stats
WHERE neuron_id = :neuron_id AND dataset_id = :dataset_id
ORDER BY place, rank"""
_EXAMPLES: Final = """SELECT e.rank, e.value, e.position, t.ordinal, t.text_id, t.text
FROM examples e
JOIN texts t ON t.text_id = e.text_id
WHERE e.neuron_id = :neuron_id AND e.dataset_id = :dataset_id
  AND e.sign_case = :sign_case AND e.quantity = :quantity
ORDER BY e.rank"""
_CONTROLS: Final = """SELECT e.kind, e.rank, e.value, e.position, t.ordinal, t.text_id, t.text
FROM control_examples e
JOIN texts t ON t.text_id = e.text_id
WHERE e.neuron_id = :neuron_id AND e.dataset_id = :dataset_id
ORDER BY e.kind, e.rank"""
_ABLATIONS: Final = """SELECT r.run_id, s.name, r.mode, r.condition, r.value, x.*
FROM ablation_runs r
JOIN neuron_sets s ON s.set_id = r.set_id
JOIN ablation_results x ON x.run_id = r.run_id
WHERE r.model_id = :model_id
  AND EXISTS (SELECT 1 FROM neuron_set_members m
  WHERE m.set_id = r.set_id AND m.neuron_id = :neuron_id)
ORDER BY r.run_id, x.metric, x.filter"""
_COUNTERPARTS: Final = """SELECT * FROM compared_neurons
WHERE comparison_id IN (SELECT comparison_id FROM comparisons
  WHERE model_a = :model_id OR model_b = :model_id)
  AND layer = :layer AND neuron = :neuron"""
_REMOVAL: Final = """SELECT k.metric, e.n, e.mean, e.std, e.changed, a.mean AS estimate
FROM models m
CROSS JOIN (SELECT 'loss' AS metric UNION ALL SELECT 'entropy' UNION ALL SELECT 'rank'
  UNION ALL SELECT 'scale') k
LEFT JOIN neuron_effects e ON e.run_id = m.each_run_id AND e.metric = k.metric
  AND e.neuron_id = :neuron_id
LEFT JOIN neuron_attributions a ON a.run_id = m.attribution_run_id AND a.metric = k.metric
  AND a.neuron_id = :neuron_id
WHERE m.model_id = :model_id AND (e.metric IS NOT NULL OR a.metric IS NOT NULL)"""
_CONCEPTS: Final = """SELECT run_id, concept, random, rank, vector, sign, direction, cosine, hook,
  low, low_change, high, high_change, best_probability, clean_probability, p_value
FROM concept_neurons
WHERE neuron_id = :neuron_id
ORDER BY change DESC"""
_CLAMPS: Final = """SELECT run_id, prompt, hook, position, value, token, probability, rank
FROM clamp_sweeps
WHERE neuron_id = :neuron_id
ORDER BY run_id DESC, token_id, step"""
_ENTROPY: Final = """SELECT x.run_id, x.random, x.metric, x.value, x.clean, x.fixed, x.total,
  x.direct, x.through_norm
FROM entropy_effects x
WHERE x.neuron_id = :neuron_id
  AND x.step = (SELECT MAX(e.step) FROM entropy_results e WHERE e.run_id = x.run_id)
ORDER BY x.run_id DESC, x.metric"""
_GENERATIONS: Final = """SELECT h.run_id, r.prompt, h.hook, h.ablated, h.value
FROM generation_held_neurons h
JOIN generation_runs r ON r.run_id = h.run_id
WHERE h.neuron_id = :neuron_id
ORDER BY h.run_id DESC"""
_UNIVERSALITY: Final = """SELECT other_model, aligned_by, best_name, correlation, baseline,
  excess, lowest_name, lowest
FROM neuron_universality
WHERE neuron_id = :neuron_id
  AND run_id = (SELECT MAX(run_id) FROM universality_runs WHERE model_id = :model_id)
ORDER BY place"""
_HEADS: Final = """SELECT h.head_name, h.effect, h.score, h.standardised, h.head_rank,
  e.n_firing, e.firing_bos_attention, e.firing_bos_change, e.firing_output_norm,
  e.firing_norm_change
FROM neuron_heads h
LEFT JOIN head_effects e ON e.neuron_id = h.neuron_id AND e.head_layer = h.head_layer
  AND e.head = h.head
WHERE h.neuron_id = :neuron_id
ORDER BY ABS(h.standardised) DESC, h.head_layer, h.head"""
_ANNOTATIONS: Final = """SELECT a.source, a.key, a.value, a.note, a.made_at
FROM annotations a
WHERE a.neuron_id = :neuron_id
  AND NOT EXISTS (SELECT 1 FROM explanations e
    WHERE e.neuron_id = a.neuron_id AND e.source = a.source)
  AND NOT EXISTS (SELECT 1 FROM explanation_scores s
    WHERE s.neuron_id = a.neuron_id AND s.source = a.source AND s.key = a.key)
ORDER BY a.source, a.key"""
_EXPLANATIONS: Final = """SELECT a.source, a.key, a.value, a.note, e.command, e.version,
  e.created_at, s.sign_case, s.scorer, s.controls, s.balanced_accuracy, s.true_positives,
  s.false_positives, s.true_negatives, s.false_negatives, s.unanswered
FROM annotations a
LEFT JOIN explanations e ON e.neuron_id = a.neuron_id AND e.source = a.source
LEFT JOIN explanation_scores s ON s.neuron_id = a.neuron_id AND s.source = a.source
  AND s.key = a.key
WHERE a.neuron_id = :neuron_id AND (e.source IS NOT NULL OR s.source IS NOT NULL)
ORDER BY a.source, a.key, s.sign_case, s.scorer"""

_PANELS: Final = {
    "overview": ("the neuron's overview", _OVERVIEW, "neuron_id"),
    "cosines": ("its cosines and random regions", _COSINES, "neuron_id"),
    "layer": ("the cosines of its layer", _LAYER, "model_id layer"),
    "cases": ("its sign cases", _CASES, "neuron_id dataset_id"),
    "peaks": ("its peak tokens", _PEAKS, "neuron_id dataset_id"),
    "tokens": ("its tokens", _TOKENS, "neuron_id basis"),
    "moments": ("its vocabulary moments", _MOMENTS, "neuron_id"),
    "effects": ("its effects on classes of tokens", _EFFECTS, "neuron_id"),
    "activations": ("its moments", _ACTIVATIONS, "neuron_id dataset_id"),
    "labels": ("the neuron by label", _LABELS, "neuron_id dataset_id"),
    "token_stats": ("the neuron by token", _BY_FREQUENT_TOKENS, "neuron_id dataset_id"),
    "families": ("what explains it", NEURON_STATEMENT, "neuron_id run_id"),
    "examples": ("these examples", _EXAMPLES, "neuron_id dataset_id sign_case quantity"),
    "controls": ("these texts", _CONTROLS, "neuron_id dataset_id"),
    "removal": ("what removing it does", _REMOVAL, "neuron_id model_id"),
    "ablations": ("these ablations", _ABLATIONS, "neuron_id model_id"),
    "counterparts": ("its counterparts", _COUNTERPARTS, "model_id layer neuron"),
    "concepts": ("its concepts", _CONCEPTS, "neuron_id"),
    "clamps": ("its clamp sweeps", _CLAMPS, "neuron_id"),
    "entropy": ("what fixing it does", _ENTROPY, "neuron_id"),
    "generations": ("texts with it held", _GENERATIONS, "neuron_id"),
    "universality": ("its matches in other models", _UNIVERSALITY, "neuron_id model_id"),
    "heads": ("its attention heads", _HEADS, "neuron_id"),
    "explanations": ("its explanations", _EXPLANATIONS, "neuron_id"),
    "annotations": ("its annotations", _ANNOTATIONS, "neuron_id"),
}
"""Panel → its title, its statement and the values that this takes."""


def list_panel_statements(values: Mapping[str, str | int | None]) -> dict[str, Sql]:
    """Return the statement of each panel that these values are enough for."""
    statements = {}
    for panel, (title, statement, names) in _PANELS.items():
        bindings = {name: values.get(name) for name in names.split()}
        if None not in bindings.values():
            statements[panel] = Sql(title, statement, bindings)
    return statements
