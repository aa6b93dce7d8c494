-- title: Neurons matched with those of other models
-- description: Of every neuron, in a run: means over the other models of the largest correlation and
--   of its baseline, the excess, the largest and the smallest correlation over the models, and the
--   lowest and the highest layer that has a best match.
-- param model: model
-- param run = null: integer, by default the newest
SELECT u.run_id, u.layer, u.neuron, AVG(u.correlation) AS correlation,
       AVG(u.baseline) AS baseline, AVG(u.correlation) - AVG(u.baseline) AS excess,
       MAX(u.correlation) AS largest, MIN(u.correlation) AS smallest,
       MIN(u.best_layer) AS lowest_best_layer, MAX(u.best_layer) AS highest_best_layer
FROM neuron_universality u
WHERE u.run_id = (
    SELECT MAX(r.run_id)
    FROM universality_runs r
    JOIN models m ON m.model_id = r.model_id
    WHERE m.name = CAST(:model AS TEXT)
      AND (CAST(:run AS INTEGER) IS NULL OR r.run_id = CAST(:run AS INTEGER)))
  AND u.correlation IS NOT NULL
GROUP BY u.run_id, u.neuron_id, u.layer, u.neuron
ORDER BY u.layer, u.neuron
