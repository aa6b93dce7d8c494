-- title: Tokens by how much the removal of each class changes a metric
-- description: Tokens in each bin of clean − ablated, of the newest run on each class and condition
--   of those that compare, and of its runs on random neurons (`random`), of which the figure draws
--   the mean; tokens that do not change are in no bin.
-- param model: model
-- param metric = "entropy": choice(entropy, loss, rank, scale)
-- param mode = "zero": choice(zero, mean, fix, clamp)
-- param drawn = null: integer, neurons of each class; by default all, or the most drawn
WITH class_runs AS (
    SELECT r.run_id, k.class_id, k.name AS class, r.condition, r.dataset_id,
           COALESCE(r.n_texts, -1) AS n_texts, COALESCE(r.max_len, -1) AS max_len,
           COALESCE(CAST(r.value AS TEXT), '') AS value,
           CASE WHEN s.definition = 'class=''' || k.name || '''' THEN 1 ELSE 0 END AS whole,
           (SELECT COUNT(*) FROM neuron_set_members e WHERE e.set_id = r.set_id) AS size
    FROM ablation_runs r
    JOIN models m ON m.model_id = r.model_id
    JOIN neuron_sets s ON s.set_id = r.set_id
    JOIN rw_classes k ON s.definition = 'class=''' || k.name || ''''
                      OR s.definition LIKE '% of class=''' || k.name || ''', seed %'
    WHERE m.name = CAST(:model AS TEXT) AND r.mode = CAST(:mode AS TEXT)
      AND r.kind = 'together' AND r.baseline_of IS NULL
), wanted AS (
    SELECT COALESCE(CAST(:drawn AS INTEGER), CASE WHEN MAX(whole) = 0 THEN MAX(size) END) AS n
    FROM class_runs
), fitting AS (
    SELECT c.*
    FROM class_runs c
    JOIN wanted w ON (w.n IS NULL AND c.whole = 1) OR (c.whole = 1 AND c.size <= w.n)
                  OR (c.whole = 0 AND c.size = w.n)
), newest AS (
    SELECT dataset_id, n_texts, max_len, value FROM fitting ORDER BY run_id DESC LIMIT 1
), shown AS (
    SELECT c.class_id, c.class, c.condition, MAX(c.run_id) AS run_id
    FROM fitting c
    JOIN newest w ON w.dataset_id = c.dataset_id AND w.n_texts = c.n_texts
                 AND w.max_len = c.max_len AND w.value = c.value
    GROUP BY c.class_id, c.class, c.condition
)
SELECT s.class, s.condition, CASE WHEN r.run_id = s.run_id THEN 0 ELSE 1 END AS random, r.run_id,
       h.low, h.high, h.n, x.n AS n_tokens, x.mean
FROM shown s
JOIN ablation_runs r ON r.run_id = s.run_id OR r.baseline_of = s.run_id
JOIN ablation_histograms h ON h.run_id = r.run_id AND h.metric = CAST(:metric AS TEXT)
JOIN ablation_results x ON x.run_id = r.run_id AND x.metric = h.metric AND x.filter = 'all'
ORDER BY s.class_id, s.condition, random, r.run_id, h.low
