"""The views of series of models: their steps, and every neuron at each of them.

Each is a name, a SELECT that SQLite and PostgreSQL both read, and what a row is.
"""

from typing import Final

_SERIES_STEPS = """
SELECT s.series_id, s.step, m.name AS model, m.model_id, e.created_at
FROM series_models s
JOIN series e ON e.series_id = s.series_id
JOIN models m ON m.model_id = s.model_id
"""

# Classes are those of the comparison with the first model, so that all are at its threshold. The
# first step has its own from the comparison with the second.
_SERIES_NEURONS = """
SELECT s.series_id, s.step, m.name AS model, f.layer, f.neuron,
       f.layer || '.' || f.neuron AS name, k.name AS class, k.class_id,
       d.gate_cosine, d.in_cosine, d.out_cosine, d.moved,
       CASE WHEN s.step > 0 THEN f.gate_cosine END AS first_gate_cosine,
       CASE WHEN s.step > 0 THEN f.in_cosine END AS first_in_cosine,
       CASE WHEN s.step > 0 THEN f.out_cosine END AS first_out_cosine,
       CASE WHEN s.step > 0 THEN f.moved END AS first_moved
FROM series_models s
JOIN models m ON m.model_id = s.model_id
JOIN series_models o ON o.series_id = s.series_id AND o.step = 0
JOIN series_models t ON t.series_id = s.series_id
 AND t.step = CASE WHEN s.step = 0 THEN 1 ELSE s.step END
JOIN comparisons cf ON cf.model_a = o.model_id AND cf.model_b = t.model_id
JOIN comparison_neurons f ON f.comparison_id = cf.comparison_id
LEFT JOIN series_models p ON p.series_id = s.series_id AND p.step = s.step - 1
LEFT JOIN comparisons cd ON cd.model_a = p.model_id AND cd.model_b = s.model_id
LEFT JOIN comparison_neurons d
  ON d.comparison_id = cd.comparison_id AND d.layer = f.layer AND d.neuron = f.neuron
LEFT JOIN rw_classes k ON k.class_id = CASE WHEN s.step = 0 THEN f.class_a ELSE f.class_b END
"""

SERIES_VIEWS: Final = (
    ("series_steps", _SERIES_STEPS, "A model of a series, in its place."),
    (
        "series_neurons",
        _SERIES_NEURONS,
        "A neuron at a step of a series: its class, its cosines with itself in the model before "
        "(gate_cosine, in_cosine, out_cosine; moved is 1 − the smallest) and in the first model "
        "(first_…); NULL at step 0.",
    ),
)
"""Name, SELECT, what a row is."""
