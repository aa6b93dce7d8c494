-- title: Median cosines of a neuron's own vectors in each model of a series
-- description: Of every layer, and where layer is NULL of all neurons.
-- param model: model
-- param series = null: integer, by default the newest that the model is part of
WITH steps AS (
    SELECT s.step, s.model, n.layer, c.gate_in, c.gate_out, c.in_out
    FROM series_steps s
    JOIN neurons n ON n.model_id = s.model_id
    JOIN cosines c ON c.neuron_id = n.neuron_id
    WHERE s.series_id = (
        SELECT MAX(series_id)
        FROM series_steps
        WHERE model = CAST(:model AS TEXT)
          AND (CAST(:series AS INTEGER) IS NULL OR series_id = CAST(:series AS INTEGER)))
)
SELECT step, model, layer, median(gate_in) AS gate_in, median(gate_out) AS gate_out,
       median(in_out) AS in_out
FROM steps
GROUP BY step, model, layer
UNION ALL
SELECT step, model, NULL, median(gate_in), median(gate_out), median(in_out)
FROM steps
GROUP BY step, model
ORDER BY step, layer
