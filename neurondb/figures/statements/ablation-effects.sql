-- title: Mean effects of removing each class, and random neurons
-- description: The newest run on each class and condition, of those over the same texts as the
--   newest of all, and the runs on random neurons (`random`) that belong to it.
-- param model: model
-- param mode = "zero": choice(zero, mean, fix, clamp)
WITH class_runs AS (
    SELECT r.run_id, k.class_id, k.name AS class, r.condition, r.dataset_id,
           COALESCE(r.n_texts, -1) AS n_texts, COALESCE(r.max_len, -1) AS max_len,
           COALESCE(r.value, 0) AS value, CASE WHEN r.value IS NULL THEN 0 ELSE 1 END AS valued
    FROM ablation_runs r
    JOIN models m ON m.model_id = r.model_id
    JOIN neuron_sets s ON s.set_id = r.set_id
    JOIN rw_classes k ON s.definition = 'class=''' || k.name || ''''
    WHERE m.name = CAST(:model AS TEXT) AND r.mode = CAST(:mode AS TEXT)
      AND r.kind = 'together' AND r.baseline_of IS NULL
), newest AS (
    SELECT dataset_id, n_texts, max_len, value, valued FROM class_runs ORDER BY run_id DESC LIMIT 1
), shown AS (
    SELECT c.class_id, c.class, c.condition, MAX(c.run_id) AS run_id
    FROM class_runs c
    JOIN newest w ON w.dataset_id = c.dataset_id AND w.n_texts = c.n_texts
                 AND w.max_len = c.max_len AND w.value = c.value AND w.valued = c.valued
    GROUP BY c.class_id, c.class, c.condition
)
SELECT s.class, s.condition, CASE WHEN r.run_id = s.run_id THEN 0 ELSE 1 END AS random, r.run_id,
       x.metric, x.mean
FROM shown s
JOIN ablation_runs r ON r.run_id = s.run_id OR r.baseline_of = s.run_id
JOIN ablation_results x ON x.run_id = r.run_id AND x.filter = 'all'
ORDER BY s.class_id, s.condition, random, r.run_id, x.metric
