-- title: A concept's probability while neurons are held
-- description: Of the neurons that a concept run swept; the figure has the six strongest
--   candidates, and the random ones.
-- param model: model
-- param concept = null: text, by default that of the newest run
-- param run = null: integer, by default the newest of the concept
SELECT name, random, step, value, change, probability
FROM concept_sweeps
WHERE run_id = (
    SELECT MAX(r.run_id)
    FROM concept_runs r
    JOIN models m ON m.model_id = r.model_id
    WHERE m.name = CAST(:model AS TEXT)
      AND (CAST(:run AS INTEGER) IS NULL OR r.run_id = CAST(:run AS INTEGER))
      AND (CAST(:concept AS TEXT) IS NULL OR r.concept = CAST(:concept AS TEXT)))
ORDER BY random, name, step
