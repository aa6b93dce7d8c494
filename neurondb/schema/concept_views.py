"""Views of clamp sweeps, and of the neurons that were tried for a concept."""

from typing import Final

_CLAMP_SWEEPS = """
SELECT r.run_id, m.name AS model, n.layer, n.neuron, n.name,
       k.neuron_id, r.prompt, r.chat, r.hook, r.position, x.step,
       x.value * CASE r.sign WHEN 'model' THEN n.sign ELSE 1 END AS value, x.token_id,
       (SELECT t.token FROM tokens t WHERE t.model_id = r.model_id AND t.token_id = x.token_id)
       AS token, x.probability, x.rank
FROM clamp_runs r
JOIN models m ON m.model_id = r.model_id
JOIN clamp_run_neurons k ON k.run_id = r.run_id
JOIN named_neurons n ON n.neuron_id = k.neuron_id
JOIN clamp_results x ON x.run_id = r.run_id
"""

_CONCEPT_NEURONS = """
SELECT r.run_id, m.name AS model, r.concept, c.random, c.rank, n.layer, n.neuron, n.name,
       c.neuron_id, c.vector,
       CASE WHEN c.cosine < 0 THEN -1 WHEN c.cosine IS NOT NULL THEN 1 END AS sign,
       c.direction, c.cosine, r.hook, c.low, c.high, c.low_change, c.high_change, c.change,
       CASE WHEN c.high_change >= c.low_change THEN c.high ELSE c.low END AS best_value,
       CASE WHEN c.high_change >= c.low_change THEN c.high_probability ELSE c.low_probability END
       AS best_probability,
       CASE WHEN c.high_change >= c.low_change THEN c.high_other_change ELSE c.low_other_change END
       AS other_change,
       r.clean_probability, c.stronger, r.n_random,
       CASE WHEN r.n_random > 0
            THEN CAST(c.stronger + 1 AS DOUBLE PRECISION) / (r.n_random + 1) END AS p_value
FROM concept_candidates c
JOIN concept_runs r ON r.run_id = c.run_id
JOIN models m ON m.model_id = r.model_id
JOIN named_neurons n ON n.neuron_id = c.neuron_id
"""

_CONCEPT_SWEEPS = """
SELECT r.run_id, m.name AS model, r.concept, n.name,
       p.neuron_id, c.random, p.step, p.value, p.change, p.probability
FROM concept_points p
JOIN concept_runs r ON r.run_id = p.run_id
JOIN models m ON m.model_id = r.model_id
JOIN named_neurons n ON n.neuron_id = p.neuron_id
JOIN concept_candidates c ON c.run_id = p.run_id AND c.neuron_id = p.neuron_id
"""

CONCEPT_VIEWS: Final = (
    (
        "clamp_sweeps",
        _CLAMP_SWEEPS,
        "A next token's probability with a neuron, and those held with it, at a value in canonical "
        "sign; NULL is the clean run.",
    ),
    (
        "concept_neurons",
        _CONCEPT_NEURONS,
        "A neuron that was tried for a concept, or one of the random neurons beside; p_value is "
        "(stronger + 1) / (n_random + 1).",
    ),
    ("concept_sweeps", _CONCEPT_SWEEPS, "A concept's probability with a neuron at a value."),
)
"""Name, SELECT and description of each view."""
