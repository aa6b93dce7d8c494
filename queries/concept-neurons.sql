-- title: Neurons of a concept
-- description: The neurons that were tried for a word or phrase, by what they do to it when held
--   (METHODS §6), in the newest run of each model; p_value is (stronger + 1) / (n_random + 1), with
--   stronger the random neurons that do as much.
-- needs: concepts
-- param concept: text, the word or phrase, as `neurondb concept` was asked for it
-- param model = null: model, only this model
-- param limit = 50: natural, rows at most
SELECT c.model, c.name, k.class, c.rank, c.vector, c.sign, c.direction, c.cosine, c.low,
       c.low_change, c.high, c.high_change, c.best_probability, c.clean_probability, c.stronger,
       c.n_random, c.p_value
FROM concept_neurons c
LEFT JOIN neuron_overview k ON k.neuron_id = c.neuron_id
WHERE c.run_id IN (SELECT MAX(r.run_id) FROM concept_runs r
                   WHERE r.concept = TRIM(CAST(:concept AS TEXT)) GROUP BY r.model_id)
  AND NOT c.random
  AND (CAST(:model AS TEXT) IS NULL OR c.model = CAST(:model AS TEXT))
ORDER BY c.model, c.rank
LIMIT :limit
