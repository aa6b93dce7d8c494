-- title: Entropy neurons fixed at values, beside random ones
-- description: The mean of each metric with a neuron fixed at each value, the clean mean, and the
--   change with its part that goes through the final norm.
-- param model: model
-- param run = null: integer, by default the newest
SELECT run_id, name, random, metric, step, value, clean, fixed, total, through_norm
FROM entropy_effects
WHERE run_id = (
    SELECT MAX(r.run_id)
    FROM entropy_runs r
    JOIN models m ON m.model_id = r.model_id
    WHERE m.name = CAST(:model AS TEXT)
      AND (CAST(:run AS INTEGER) IS NULL OR r.run_id = CAST(:run AS INTEGER)))
ORDER BY metric, place, step
