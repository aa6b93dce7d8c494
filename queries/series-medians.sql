-- title: Median cosines of a neuron's own vectors, over a series of models
-- description: Medians of cos(gate, in), cos(gate, out) and cos(in, out) in each model of a series
--   that `neurondb compare A B C` made, of every layer and, where layer is NULL, of all neurons.
-- needs: series
-- param series = null: integer, the series by its number; by default the newest
WITH steps AS (
    SELECT s.series_id, s.step, s.model, n.layer, c.gate_in, c.gate_out, c.in_out
    FROM series_steps s
    JOIN neurons n ON n.model_id = s.model_id
    JOIN cosines c ON c.neuron_id = n.neuron_id
    WHERE s.series_id = COALESCE(CAST(:series AS INTEGER),
                                 (SELECT MAX(series_id) FROM series_steps))
)
SELECT series_id, step, model, layer, gate_in, gate_out, in_out
FROM (SELECT series_id, step, model, layer, median(gate_in) AS gate_in,
             median(gate_out) AS gate_out, median(in_out) AS in_out
      FROM steps
      GROUP BY series_id, step, model, layer
      UNION ALL
      SELECT series_id, step, model, NULL, median(gate_in), median(gate_out), median(in_out)
      FROM steps
      GROUP BY series_id, step, model) x
ORDER BY step, CASE WHEN layer IS NULL THEN 0 ELSE 1 END, layer
