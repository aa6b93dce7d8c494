-- title: Neurons whose correlation is above a threshold
-- description: Of every neuron, in the newest run: means over the other models of the largest
--   correlation and of its baseline, and the excess.
-- param model: model
SELECT u.run_id, n.layer, n.neuron, AVG(u.correlation) AS correlation,
       AVG(u.baseline) AS baseline, AVG(u.correlation) - AVG(u.baseline) AS excess
FROM universality u
JOIN neurons n ON n.neuron_id = u.neuron_id
WHERE u.run_id = (
    SELECT MAX(r.run_id)
    FROM universality_runs r
    JOIN models m ON m.model_id = r.model_id
    WHERE m.name = CAST(:model AS TEXT))
  AND u.correlation IS NOT NULL
GROUP BY u.run_id, u.neuron_id, n.layer, n.neuron
ORDER BY n.layer, n.neuron
