-- title: The strongest significant cosines
-- description: Neurons with the largest |cosine| of one pair of vectors among those outside the
--   region that random cosines of their layer fill.
-- param pair = "in_out": choice(gate_in, gate_out, in_out), of which vectors
-- param model = null: model, only this model
-- param limit = 50: natural, rows at most
WITH chosen AS (
    SELECT c.neuron_id, CAST(:pair AS TEXT) AS pair,
           CASE CAST(:pair AS TEXT) WHEN 'gate_in' THEN c.gate_in WHEN 'gate_out' THEN c.gate_out
                                    WHEN 'in_out' THEN c.in_out END AS cosine
    FROM cosines c
)
SELECT m.name AS model, n.name, x.pair, x.cosine, k.name AS class,
       r.low AS random_low, r.high AS random_high
FROM models m
JOIN named_neurons n ON n.model_id = m.model_id
JOIN chosen x ON x.neuron_id = n.neuron_id
JOIN random_regions r ON r.model_id = n.model_id AND r.layer = n.layer AND r.pair = x.pair
LEFT JOIN classes q ON q.neuron_id = n.neuron_id AND q.threshold = m.threshold
LEFT JOIN rw_classes k ON k.class_id = q.class_id
WHERE (x.cosine < r.low OR x.cosine > r.high)
  AND (CAST(:model AS TEXT) IS NULL OR m.name = CAST(:model AS TEXT))
ORDER BY ABS(x.cosine) DESC, n.neuron_id
LIMIT :limit
