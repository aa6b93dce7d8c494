-- title: Median and quartiles of the cosines in every layer
-- description: Of cos(gate, in), cos(gate, out) and cos(in, out) over a layer's neurons, by linear
--   interpolation, beside the region that random cosines of the layer fill (METHODS §3, §10).
--   Neurons with a zero vector are left out.
-- param model = null: model, only this model
WITH wanted AS (
    SELECT n.model_id, n.layer, c.gate_in, c.gate_out, c.in_out
    FROM models m
    JOIN neurons n ON n.model_id = m.model_id
    JOIN cosines c ON c.neuron_id = n.neuron_id
    WHERE CAST(:model AS TEXT) IS NULL OR m.name = CAST(:model AS TEXT)
), pairs AS (
    SELECT model_id, layer, 'gate_in' AS pair, gate_in AS value FROM wanted
    UNION ALL
    SELECT model_id, layer, 'gate_out' AS pair, gate_out AS value FROM wanted
    UNION ALL
    SELECT model_id, layer, 'in_out' AS pair, in_out AS value FROM wanted
), quartiles AS (
    SELECT model_id, layer, pair, COUNT(*) AS n, QUANTILE(value, 0.25) AS q25,
           MEDIAN(value) AS median, QUANTILE(value, 0.75) AS q75
    FROM pairs
    WHERE value IS NOT NULL
    GROUP BY model_id, layer, pair
)
SELECT m.name AS model, q.layer, q.pair, q.n, q.q25, q.median, q.q75,
       r.low AS random_low, r.high AS random_high
FROM quartiles q
JOIN models m ON m.model_id = q.model_id
LEFT JOIN random_regions r ON r.model_id = q.model_id AND r.layer = q.layer AND r.pair = q.pair
ORDER BY m.name, q.layer, q.pair
