-- title: Activation frequency by read-write class, with its random baseline
-- description: Mean share of tokens with x_gate > 0 (ungated: hook_post > 0) over the neurons of a
--   class, and what random neurons of the same layers outside the class have on average: the
--   expectation of the draw, not one draw (weakening-neurons, table 5). `freq` is over all `n`
--   neurons. Only layers that have neurons outside the class allow a comparison: `freq_compared`,
--   over the `n_compared` neurons of these layers, is what to hold against `baseline_freq`, which
--   weighs the layers alike and comes from `n_outside` neurons. Few of them make a poor baseline.
-- needs: activations
-- param model = null: model, only this model
WITH known AS (
    SELECT n.model_id, n.layer, q.class_id, COALESCE(a.freq, a.post_positive) AS freq
    FROM models m
    JOIN neurons n ON n.model_id = m.model_id
    JOIN classes q ON q.neuron_id = n.neuron_id AND q.threshold = m.threshold
    JOIN activation_stats a ON a.neuron_id = n.neuron_id AND a.dataset_id = m.dataset_id
    WHERE COALESCE(a.freq, a.post_positive) IS NOT NULL
      AND (CAST(:model AS TEXT) IS NULL OR m.name = CAST(:model AS TEXT))
), layer_sums AS (
    SELECT model_id, layer, COUNT(*) AS n, SUM(freq) AS total
    FROM known
    GROUP BY model_id, layer
), class_sums AS (
    SELECT model_id, layer, class_id, COUNT(*) AS n, SUM(freq) AS total
    FROM known
    GROUP BY model_id, layer, class_id
), compared AS (
    -- A layer that has nothing but this class has no baseline: it does not weigh in there.
    SELECT c.model_id, c.class_id, SUM(c.n) AS n, SUM(c.total) AS total,
           SUM(CASE WHEN l.n > c.n THEN c.n ELSE 0 END) AS n_compared,
           SUM(CASE WHEN l.n > c.n THEN c.total END) AS total_compared,
           SUM(l.n - c.n) AS n_outside,
           SUM(CASE WHEN l.n > c.n THEN c.n * (l.total - c.total) / (l.n - c.n) END) AS expected
    FROM class_sums c
    JOIN layer_sums l ON l.model_id = c.model_id AND l.layer = c.layer
    GROUP BY c.model_id, c.class_id
)
SELECT m.name AS model, k.name AS class, x.n, x.total / x.n AS freq, x.n_compared,
       x.total_compared / NULLIF(x.n_compared, 0) AS freq_compared, x.n_outside,
       x.expected / NULLIF(x.n_compared, 0) AS baseline_freq
FROM compared x
JOIN models m ON m.model_id = x.model_id
JOIN rw_classes k ON k.class_id = x.class_id
ORDER BY m.name, k.class_id
