-- title: Neurons matched with those of other models
-- description: The runs of `neurondb universality`, the newest first, with a row for each other
--   model: how many tokens were compared and by what they were aligned, the share of neurons that
--   are universal in the run (excess above 0.5, METHODS §8), and the means over neurons of the
--   largest correlation with that model and of its baseline.
-- needs: universality
-- param model = null: model, only this model
-- param run = null: integer, only this run
-- param limit = 100: natural, rows at most
WITH shares AS (
    SELECT x.run_id, AVG(CASE WHEN x.excess > 0.5 THEN 1.0 ELSE 0.0 END) AS share_universal
    FROM (SELECT u.run_id, u.neuron_id, AVG(u.correlation) - AVG(u.baseline) AS excess
          FROM universality u
          GROUP BY u.run_id, u.neuron_id) x
    WHERE x.excess IS NOT NULL
    GROUP BY x.run_id
), means AS (
    SELECT u.run_id, u.place, AVG(u.correlation) AS mean_correlation,
           AVG(u.baseline) AS mean_baseline
    FROM universality u
    GROUP BY u.run_id, u.place
)
SELECT r.run_id, m.name AS model, o.name AS other_model, d.name AS dataset, k.n_tokens,
       k.aligned_by, k.n_unaligned, r.layer_window, k.n_tiles AS layer_pairs, k.n_passes, r.seed,
       x.mean_correlation, x.mean_baseline, s.share_universal, r.seconds, r.created_at
FROM universality_runs r
JOIN universality_models k ON k.run_id = r.run_id
JOIN models m ON m.model_id = r.model_id
JOIN models o ON o.model_id = k.other_id
JOIN dataset_rows d ON d.dataset_id = r.dataset_id
LEFT JOIN shares s ON s.run_id = r.run_id
LEFT JOIN means x ON x.run_id = k.run_id AND x.place = k.place
WHERE (CAST(:model AS TEXT) IS NULL OR m.name = CAST(:model AS TEXT))
  AND (CAST(:run AS INTEGER) IS NULL OR r.run_id = CAST(:run AS INTEGER))
ORDER BY r.run_id DESC, k.place
LIMIT :limit
