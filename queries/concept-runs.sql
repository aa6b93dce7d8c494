-- title: Concepts that were looked for
-- description: The runs of `neurondb concept`, the newest first: the best candidate, what it does to
--   ln p(concept) with its activation held, the best random neuron, and how many candidates do more
--   than every random one (METHODS §6).
-- needs: concepts
-- param model = null: model, only this model
-- param limit = 100: natural, rows at most
SELECT r.run_id, m.name AS model, r.concept, r.clean_probability,
       COUNT(*) - SUM(CASE WHEN c.random THEN 1 ELSE 0 END) AS candidates, r.n_random,
       (SELECT b.name FROM concept_neurons b
        WHERE b.run_id = r.run_id AND b.rank = 0 AND NOT b.random) AS best,
       MAX(CASE WHEN NOT c.random THEN c.change END) AS best_change,
       MAX(CASE WHEN c.random THEN c.change END) AS best_random_change,
       SUM(CASE WHEN c.stronger = 0 AND c.change > 0 AND r.n_random > 0 THEN 1 ELSE 0 END) AS beyond
FROM concept_runs r
JOIN models m ON m.model_id = r.model_id
JOIN concept_candidates c ON c.run_id = r.run_id
WHERE CAST(:model AS TEXT) IS NULL OR m.name = CAST(:model AS TEXT)
GROUP BY r.run_id, m.name, r.concept, r.clean_probability, r.n_random
ORDER BY r.run_id DESC
LIMIT :limit
