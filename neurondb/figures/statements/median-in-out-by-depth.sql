-- title: Median cos(in, out) over the depth of a model
-- description: By linear interpolation, over a layer's neurons without a zero vector, beside the
--   region that random cosines of the layer fill; depth is layer ÷ last layer.
-- param model: model
WITH ranked AS (
    SELECT n.model_id, n.layer, c.in_out,
           ROW_NUMBER() OVER (PARTITION BY n.layer ORDER BY c.in_out) - 1 AS i,
           COUNT(*) OVER (PARTITION BY n.layer) - 1 AS last
    FROM models m
    JOIN neurons n ON n.model_id = m.model_id
    JOIN cosines c ON c.neuron_id = n.neuron_id
    -- `+`: the index on in_out, which has nearly all neurons in another order, would be a detour.
    WHERE m.name = CAST(:model AS TEXT) AND +c.in_out IS NOT NULL
), medians AS (
    -- Between two neurons where their number is even.
    SELECT model_id, layer, AVG(in_out) AS median
    FROM ranked
    WHERE i IN (last / 2, (last + 1) / 2)
    GROUP BY model_id, layer
)
SELECT d.layer, CAST(d.layer AS DOUBLE PRECISION) / CASE m.n_layers WHEN 1 THEN 1
                                                         ELSE m.n_layers - 1 END AS depth,
       d.median, r.low, r.high
FROM medians d
JOIN models m ON m.model_id = d.model_id
LEFT JOIN random_regions r ON r.model_id = d.model_id AND r.layer = d.layer AND r.pair = 'in_out'
ORDER BY d.layer
