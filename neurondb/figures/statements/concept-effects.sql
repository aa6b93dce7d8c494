-- title: What each neuron does for a concept
-- description: Of the candidates of a concept run and its random neurons.
-- param model: model
-- param concept = null: text, by default that of the newest run
-- param run = null: integer, by default the newest of the concept
SELECT name, random, rank, vector, direction, sign, cosine, change, best_value, best_probability
FROM concept_neurons
WHERE run_id = (
    SELECT MAX(r.run_id)
    FROM concept_runs r
    JOIN models m ON m.model_id = r.model_id
    WHERE m.name = CAST(:model AS TEXT)
      AND (CAST(:run AS INTEGER) IS NULL OR r.run_id = CAST(:run AS INTEGER))
      AND (CAST(:concept AS TEXT) IS NULL OR r.concept = CAST(:concept AS TEXT)))
ORDER BY random, rank
