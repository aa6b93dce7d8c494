-- title: Median and quartiles of the cosines in every layer
-- description: Of cos(gate, in), cos(gate, out) and cos(in, out) over a layer's neurons, by linear
--   interpolation, beside the region that random cosines of the layer fill (METHODS §3, §10).
--   Neurons with a zero vector are left out.
-- param model = null: model, only this model
WITH wanted AS (
    SELECT model_id FROM models WHERE CAST(:model AS TEXT) IS NULL OR name = CAST(:model AS TEXT)
), ranked AS (
    SELECT n.model_id, n.layer, 'gate_in' AS pair, c.gate_in AS value,
           ROW_NUMBER() OVER (PARTITION BY n.model_id, n.layer ORDER BY c.gate_in) - 1 AS i,
           COUNT(*) OVER (PARTITION BY n.model_id, n.layer) - 1 AS last
    FROM wanted w JOIN neurons n ON n.model_id = w.model_id
    JOIN cosines c ON c.neuron_id = n.neuron_id
    WHERE c.gate_in IS NOT NULL
    UNION ALL
    SELECT n.model_id, n.layer, 'gate_out' AS pair, c.gate_out AS value,
           ROW_NUMBER() OVER (PARTITION BY n.model_id, n.layer ORDER BY c.gate_out) - 1 AS i,
           COUNT(*) OVER (PARTITION BY n.model_id, n.layer) - 1 AS last
    FROM wanted w JOIN neurons n ON n.model_id = w.model_id
    JOIN cosines c ON c.neuron_id = n.neuron_id
    WHERE c.gate_out IS NOT NULL
    UNION ALL
    SELECT n.model_id, n.layer, 'in_out' AS pair, c.in_out AS value,
           ROW_NUMBER() OVER (PARTITION BY n.model_id, n.layer ORDER BY c.in_out) - 1 AS i,
           COUNT(*) OVER (PARTITION BY n.model_id, n.layer) - 1 AS last
    FROM wanted w JOIN neurons n ON n.model_id = w.model_id
    JOIN cosines c ON c.neuron_id = n.neuron_id
    WHERE c.in_out IS NOT NULL
), quartiles AS (
    -- The k-th quartile stands k·last/4 places from the start, between two values where the
    -- remainder is not 0.
    SELECT model_id, layer, pair, MAX(last) + 1 AS n,
           SUM(value * CASE WHEN i = last / 4 THEN 1 - last % 4 / 4.0
                            WHEN i = last / 4 + 1 THEN last % 4 / 4.0 ELSE 0 END) AS q25,
           SUM(value * CASE WHEN i = last / 2 THEN 1 - last % 2 / 2.0
                            WHEN i = last / 2 + 1 THEN last % 2 / 2.0 ELSE 0 END) AS median,
           SUM(value * CASE WHEN i = 3 * last / 4 THEN 1 - 3 * last % 4 / 4.0
                            WHEN i = 3 * last / 4 + 1 THEN 3 * last % 4 / 4.0 ELSE 0 END) AS q75
    FROM ranked
    WHERE i IN (last / 4, last / 4 + 1, last / 2, last / 2 + 1, 3 * last / 4, 3 * last / 4 + 1)
    GROUP BY model_id, layer, pair
)
SELECT m.name AS model, q.layer, q.pair, q.n, q.q25, q.median, q.q75,
       r.low AS random_low, r.high AS random_high
FROM quartiles q
JOIN models m ON m.model_id = q.model_id
LEFT JOIN random_regions r ON r.model_id = q.model_id AND r.layer = q.layer AND r.pair = q.pair
ORDER BY m.name, q.layer, q.pair
