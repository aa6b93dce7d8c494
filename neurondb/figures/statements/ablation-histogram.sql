-- title: Tokens by how much a run changed a metric
-- description: Tokens in each bin of clean − ablated, of the run and of each of its random
--   counterparts (`random`), which the figure adds up; tokens that do not change are in no bin.
-- param model: model
-- param metric = "entropy": choice(entropy, loss, rank, scale)
-- param run = null: integer, by default the last that is no baseline
WITH shown AS (
    SELECT COALESCE(CAST(:run AS INTEGER), MAX(r.run_id)) AS run_id
    FROM ablation_runs r
    JOIN models m ON m.model_id = r.model_id
    WHERE m.name = CAST(:model AS TEXT) AND r.kind = 'together' AND r.baseline_of IS NULL
)
SELECT r.run_id, CASE WHEN r.run_id = s.run_id THEN 0 ELSE 1 END AS random, h.low, h.high, h.n,
       x.n AS n_tokens
FROM shown s
JOIN ablation_runs r ON r.run_id = s.run_id OR r.baseline_of = s.run_id
JOIN ablation_histograms h ON h.run_id = r.run_id AND h.metric = CAST(:metric AS TEXT)
JOIN ablation_results x ON x.run_id = r.run_id AND x.metric = h.metric AND x.filter = 'all'
ORDER BY random, r.run_id, h.low
