-- title: Median and quartiles of the cosines in every layer
-- description: Of cos(gate, in), cos(gate, out) and cos(in, out) over a layer's neurons, by linear
--   interpolation, beside the region that random cosines of the layer fill (METHODS §3, §10).
--   Neurons with a zero vector are left out.
-- param model = null: model, only this model
WITH long AS (
    SELECT n.model_id, n.layer, 'gate_in' AS pair, c.gate_in AS value
    FROM neurons n JOIN cosines c ON c.neuron_id = n.neuron_id
    UNION ALL
    SELECT n.model_id, n.layer, 'gate_out', c.gate_out
    FROM neurons n JOIN cosines c ON c.neuron_id = n.neuron_id
    UNION ALL
    SELECT n.model_id, n.layer, 'in_out', c.in_out
    FROM neurons n JOIN cosines c ON c.neuron_id = n.neuron_id
), ranked AS (
    SELECT model_id, layer, pair, value,
           ROW_NUMBER() OVER (PARTITION BY model_id, layer, pair ORDER BY value) - 1 AS i,
           COUNT(*) OVER (PARTITION BY model_id, layer, pair) - 1 AS last
    FROM long
    WHERE value IS NOT NULL
      AND model_id IN (SELECT model_id FROM models
                       WHERE CAST(:model AS TEXT) IS NULL OR name = CAST(:model AS TEXT))
), quartiles AS (
    -- The k-th quartile stands k·last/4 places from the start, between two values where the
    -- remainder is not 0.
    SELECT model_id, layer, pair, COUNT(*) AS n,
           SUM(value * CASE WHEN i = last / 4 THEN 1 - last % 4 / 4.0
                            WHEN i = last / 4 + 1 THEN last % 4 / 4.0 ELSE 0 END) AS q25,
           SUM(value * CASE WHEN i = last / 2 THEN 1 - last % 2 / 2.0
                            WHEN i = last / 2 + 1 THEN last % 2 / 2.0 ELSE 0 END) AS median,
           SUM(value * CASE WHEN i = 3 * last / 4 THEN 1 - 3 * last % 4 / 4.0
                            WHEN i = 3 * last / 4 + 1 THEN 3 * last % 4 / 4.0 ELSE 0 END) AS q75
    FROM ranked
    GROUP BY model_id, layer, pair
)
SELECT m.name AS model, q.layer, q.pair, q.n, q.q25, q.median, q.q75,
       r.low AS random_low, r.high AS random_high
FROM quartiles q
JOIN models m ON m.model_id = q.model_id
LEFT JOIN random_regions r ON r.model_id = q.model_id AND r.layer = q.layer AND r.pair = q.pair
ORDER BY m.name, q.layer, q.pair
