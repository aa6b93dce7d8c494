-- title: Attribute rates by layer
-- description: The attribute rate of each layer, of the clean model, with neurons ablated, and of
--   each draw of random ones, whose mean and range the figure shows.
-- param model: model
-- param run = null: integer, by default the newest
SELECT run_id, run, draw, layer, rate, n_prompts
FROM attribute_rates
WHERE run_id = (
    SELECT MAX(r.run_id)
    FROM attribute_runs r
    JOIN models m ON m.model_id = r.model_id
    WHERE m.name = CAST(:model AS TEXT)
      AND (CAST(:run AS INTEGER) IS NULL OR r.run_id = CAST(:run AS INTEGER)))
ORDER BY run DESC, draw, layer
