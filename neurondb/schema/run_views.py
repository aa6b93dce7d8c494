"""The views of runs: entropy, attribute rates, generated texts, universality, families.

Each is a name, a SELECT that SQLite and PostgreSQL both read, and what a row is.
"""

from typing import Final

# As EntropyCurves has them, to the bit: what goes through the norm is the total less the direct.
_ENTROPY_EFFECTS = """
SELECT x.run_id, x.model, x.layer, x.neuron, x.name, x.neuron_id, x.random, x.place, x.step,
       x.value, x.metric, x.clean, x.fixed, x.frozen, x.fixed - x.clean AS total,
       x.frozen - x.clean AS direct,
       (x.fixed - x.clean) - (x.frozen - x.clean) AS through_norm
FROM (SELECT r.run_id, m.name AS model, n.layer, n.neuron, n.name,
             k.neuron_id, k.random, k.place, e.step, e.value, e.metric,
             CASE e.metric WHEN 'scale' THEN r.clean_scale WHEN 'entropy' THEN r.clean_entropy
                           WHEN 'rank' THEN r.clean_rank ELSE r.clean_loss END AS clean,
             e.fixed, e.frozen
      FROM entropy_runs r
      JOIN models m ON m.model_id = r.model_id
      JOIN entropy_neurons k ON k.run_id = r.run_id
      JOIN named_neurons n ON n.neuron_id = k.neuron_id
      JOIN entropy_results e ON e.run_id = r.run_id AND e.neuron_id = k.neuron_id) x
"""

_ATTRIBUTE_RATES = """
SELECT r.run_id, m.name AS model, s.run, s.draw, x.layer, x.rate, x.n_prompts,
       s.answer_probability, CASE WHEN s.set_id IS NOT NULL THEN r.definition END AS definition,
       CASE WHEN s.set_id IS NOT NULL THEN r.mode END AS mode,
       CASE WHEN s.set_id IS NOT NULL THEN r.hook END AS hook,
       CASE WHEN s.set_id IS NOT NULL THEN r.condition END AS condition,
       CASE WHEN s.set_id IS NOT NULL THEN r.value END AS value,
       s.set_id, r.prompts, r.sets, r.top_k
FROM attribute_runs r
JOIN models m ON m.model_id = r.model_id
JOIN attribute_states s ON s.run_id = r.run_id
JOIN attribute_rate_rows x ON x.run_id = s.run_id AND x.place = s.place
"""

_GENERATIONS = """
SELECT r.run_id, m.name AS model, t.run, t.seed, r.prompt, r.chat, t.text, t.n_tokens, t.ended,
       CASE WHEN t.run = 'steered'
            THEN (SELECT COUNT(*) FROM generation_neurons k WHERE k.run_id = r.run_id)
            ELSE 0 END AS n_held,
       CASE WHEN t.run = 'steered' THEN r.ablated END AS ablated, r.hook, r.n_samples,
       r.max_new_tokens, r.greedy, r.temperature, r.top_p
FROM generation_runs r
JOIN models m ON m.model_id = r.model_id
JOIN generation_texts t ON t.run_id = r.run_id
"""

_GENERATION_SHARES = """
SELECT r.run_id, m.name AS model, r.prompt, c.run, c.counted, c.n, c.hits, c.share, c.low, c.high
FROM generation_runs r
JOIN models m ON m.model_id = r.model_id
JOIN generation_counts c ON c.run_id = r.run_id
"""

_HELD_NEURONS = """
SELECT r.run_id, m.name AS model, n.layer, n.neuron, n.name,
       k.neuron_id, CASE WHEN k.ablated THEN 'hook_post' ELSE r.hook END AS hook, k.ablated,
       k.value * CASE r.sign WHEN 'model' THEN n.sign ELSE 1 END AS value
FROM generation_runs r
JOIN models m ON m.model_id = r.model_id
JOIN generation_neurons k ON k.run_id = r.run_id
JOIN named_neurons n ON n.neuron_id = k.neuron_id
"""

_NEURON_UNIVERSALITY = """
SELECT u.run_id, m.name AS model, n.layer, n.neuron, n.name,
       u.neuron_id, r.dataset_id, u.place, o.name AS other_model, k.aligned_by, u.correlation,
       u.best_id AS best_neuron_id, b.layer AS best_layer,
       b.name AS best_name,
       u.baseline,
       (SELECT AVG(x.correlation) - AVG(x.baseline) FROM universality x
        WHERE x.neuron_id = u.neuron_id AND x.run_id = u.run_id) AS excess,
       u.lowest, u.lowest_id AS lowest_neuron_id,
       (SELECT w.name FROM named_neurons w WHERE w.neuron_id = u.lowest_id)
       AS lowest_name
FROM universality u
JOIN universality_runs r ON r.run_id = u.run_id
JOIN universality_models k ON k.run_id = u.run_id AND k.place = u.place
JOIN models m ON m.model_id = r.model_id
JOIN models o ON o.model_id = k.other_id
JOIN named_neurons n ON n.neuron_id = u.neuron_id
LEFT JOIN named_neurons b ON b.neuron_id = u.best_id
"""

_NEURON_UNIVERSALITY_CASES = """
SELECT u.run_id, m.name AS model, n.layer, n.neuron, n.name,
       u.neuron_id, r.dataset_id, u.place, o.name AS other_model, s.sign_case, u.n_tokens,
       u.correlation, u.best_id AS best_neuron_id, b.layer AS best_layer,
       b.name AS best_name,
       u.baseline,
       (SELECT AVG(x.correlation) - AVG(x.baseline) FROM universality_cases x
        WHERE x.neuron_id = u.neuron_id AND x.run_id = u.run_id AND x.case_id = u.case_id)
       AS excess
FROM universality_cases u
JOIN universality_runs r ON r.run_id = u.run_id
JOIN universality_models k ON k.run_id = u.run_id AND k.place = u.place
JOIN sign_case_names s ON s.sign_case_id = u.case_id
JOIN models m ON m.model_id = r.model_id
JOIN models o ON o.model_id = k.other_id
JOIN named_neurons n ON n.neuron_id = u.neuron_id
LEFT JOIN named_neurons b ON b.neuron_id = u.best_id
"""

_FAMILIES = """
SELECT f.neuron_id, r.dataset_id, COALESCE(s.sign_case, 'all') AS sign_case, f.rank, t.family,
       t.name AS test, f.score,
       CASE WHEN f.inside_mean >= f.outside_mean THEN 1 ELSE -1 END AS sign, t.share,
       f.inside_mean, f.outside_mean, t.description, f.run_id
FROM neuron_families f
JOIN family_runs r ON r.run_id = f.run_id
JOIN token_tests t ON t.run_id = f.run_id AND t.test = f.test
LEFT JOIN sign_case_names s ON s.sign_case_id = f.case_id
"""

RUN_VIEWS: Final = (
    (
        "families",
        _FAMILIES,
        "How much of the variance of a neuron's hook_post a test of tokens explains: the best test "
        "of each family, the best family first (rank 0); sign_case: all tokens, or hook_post "
        "restricted to a sign case and 0 elsewhere; sign: 1 where hook_post is larger where the "
        "test holds.",
    ),
    (
        "entropy_effects",
        _ENTROPY_EFFECTS,
        "What fixing a neuron at a value changes in the mean of a metric: total = direct + "
        "through_norm, the part that goes through the final norm's scale.",
    ),
    (
        "attribute_rates",
        _ATTRIBUTE_RATES,
        "The attribute rate of a layer: of the model as it is, with neurons ablated, or with as "
        "many random ones ablated.",
    ),
    (
        "generations",
        _GENERATIONS,
        "A text that a model generated: as it is (clean), or with neurons held (steered).",
    ),
    (
        "generation_shares",
        _GENERATION_SHARES,
        "The share of a run's samples that have a text in them, with Wilson's 95% interval.",
    ),
    (
        "generation_held_neurons",
        _HELD_NEURONS,
        "A neuron that was held while a model generated, and at what, in canonical sign.",
    ),
    (
        "neuron_universality",
        _NEURON_UNIVERSALITY,
        "A neuron and the neuron of another model that it is most correlated with; excess is the "
        "mean over the run's other models of correlation less that of baseline: above 0.5 the "
        "neuron is universal (METHODS §8).",
    ),
    (
        "neuron_universality_cases",
        _NEURON_UNIVERSALITY_CASES,
        "A neuron in one of its sign cases, and the neuron of another model that it is most "
        "correlated with in the same case: hook_post of both where the case holds and 0 elsewhere; "
        "n_tokens: tokens at which the neuron is in the case.",
    ),
)
"""Name, SELECT and comment of each."""
