-- title: What ablations did
-- description: The runs of `neurondb ablate` and `ablate-suite`, the newest first: which neurons,
--   what was done to them, and the mean of clean − ablated of a metric over all tokens (METHODS
--   §6); beside it the same of random neurons of the same layers, the mean, the smallest and the
--   largest of all draws. `neurondb ablate --rerun RUN_ID` repeats a run.
-- needs: ablations
-- param model = null: model, only this model
-- param metric = "entropy": choice(loss, entropy, rank, scale), what is told
-- param limit = 100: natural, rows at most
SELECT r.run_id, m.name AS model,
       COALESCE(s.name, SUBSTR(s.definition, 1, 60)) AS neurons,
       (SELECT COUNT(*) FROM neuron_set_members e WHERE e.set_id = r.set_id) AS size,
       r.mode || COALESCE(' ' || r.value, '') || COALESCE(' where ' || r.condition, '') AS done,
       x.metric, x.mean AS change,
       AVG(y.mean) AS baseline, MIN(y.mean) AS lowest, MAX(y.mean) AS highest
FROM ablation_runs r
JOIN models m ON m.model_id = r.model_id
JOIN neuron_sets s ON s.set_id = r.set_id
JOIN ablation_results x
  ON x.run_id = r.run_id AND x.filter = 'all' AND x.metric = CAST(:metric AS TEXT)
LEFT JOIN ablation_runs b ON b.baseline_of = r.run_id
LEFT JOIN ablation_results y
  ON y.run_id = b.run_id AND y.filter = 'all' AND y.metric = x.metric
WHERE r.kind = 'together' AND r.baseline_of IS NULL
  AND (CAST(:model AS TEXT) IS NULL OR m.name = CAST(:model AS TEXT))
GROUP BY r.run_id, m.name, s.name, s.definition, r.set_id, r.mode, r.value, r.condition, x.metric,
         x.mean
ORDER BY r.run_id DESC
LIMIT :limit
