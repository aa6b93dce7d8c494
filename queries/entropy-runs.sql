-- title: Neurons fixed at values
-- description: The runs of `neurondb entropy`, the newest first, with a row for each neuron that was
--   asked for: what fixing it at the last value changes, how much of the entropy's change goes
--   through the final norm, and the least and most that random neurons do (METHODS §4, §6).
-- needs: entropy
-- param model = null: model, only this model
-- param run = null: integer, only this run
-- param limit = 100: natural, rows at most
WITH last_step AS (
    SELECT run_id, MAX(step) AS step FROM entropy_results GROUP BY run_id
), effects AS (
    SELECT e.run_id, e.model, e.name, e.place, e.random, e.value,
           MAX(CASE WHEN e.metric = 'scale' THEN e.total END) AS scale_change,
           MAX(CASE WHEN e.metric = 'entropy' THEN e.total END) AS entropy_change,
           MAX(CASE WHEN e.metric = 'entropy' THEN e.through_norm END) AS entropy_through_norm,
           MAX(CASE WHEN e.metric = 'rank' THEN e.total END) AS rank_change,
           MAX(CASE WHEN e.metric = 'loss' THEN e.total END) AS loss_change
    FROM last_step s
    JOIN entropy_effects e ON e.run_id = s.run_id AND e.step = s.step
    GROUP BY e.run_id, e.model, e.name, e.place, e.random, e.value
)
SELECT f.run_id, f.model, d.name AS dataset, r.n_tokens, f.name, f.value, f.scale_change,
       f.entropy_change, f.entropy_through_norm, f.rank_change, f.loss_change, r.n_random,
       (SELECT MIN(o.entropy_change) FROM effects o WHERE o.run_id = f.run_id AND o.random)
       AS least_random_entropy_change,
       (SELECT MAX(o.entropy_change) FROM effects o WHERE o.run_id = f.run_id AND o.random)
       AS most_random_entropy_change
FROM effects f
JOIN entropy_runs r ON r.run_id = f.run_id
JOIN dataset_rows d ON d.dataset_id = r.dataset_id
WHERE NOT f.random
  AND (CAST(:model AS TEXT) IS NULL OR f.model = CAST(:model AS TEXT))
  AND (CAST(:run AS INTEGER) IS NULL OR f.run_id = CAST(:run AS INTEGER))
ORDER BY f.run_id DESC, f.place
LIMIT :limit
