-- title: Attribute rate by layer
-- description: Of one run of `neurondb attributes rate`, the newest by default, the rate of each
--   layer: clean, with neurons ablated, and with as many random ones ablated, least, mean and most
--   of the draws (METHODS §6; weakening-neurons, figures 4 and 11 to 13).
-- needs: attributes
-- param model = null: model, only this model
-- param run = null: integer, a run by its id
SELECT run_id, model, layer,
       MAX(CASE WHEN run = 'clean' THEN rate END) AS clean,
       MAX(CASE WHEN run = 'ablated' THEN rate END) AS ablated,
       MAX(CASE WHEN run = 'ablated' THEN rate END) - MAX(CASE WHEN run = 'clean' THEN rate END)
       AS change,
       MIN(CASE WHEN run = 'baseline' THEN rate END) AS baseline_least,
       AVG(CASE WHEN run = 'baseline' THEN rate END) AS baseline_mean,
       MAX(CASE WHEN run = 'baseline' THEN rate END) AS baseline_most,
       MAX(CASE WHEN run = 'clean' THEN n_prompts END) AS n_prompts
FROM attribute_rates
WHERE run_id = (
    SELECT MAX(r.run_id)
    FROM attribute_runs r
    JOIN models m ON m.model_id = r.model_id
    WHERE (CAST(:model AS TEXT) IS NULL OR m.name = CAST(:model AS TEXT))
      AND (CAST(:run AS INTEGER) IS NULL OR r.run_id = CAST(:run AS INTEGER)))
GROUP BY run_id, model, layer
ORDER BY layer
