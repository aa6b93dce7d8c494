-- title: Neurons whose removal changes a metric most
-- description: Neurons, of one read-write class or of all, by what removing each alone does on
--   average: clean − ablated, as the last `neurondb ablate-each` of their model measured
--   it (METHODS §6). First those that raise the metric most when they are removed; with direction
--   falls those that lower it. The estimate of `ablate-each --attribution` stands beside, if it did the same.
-- needs: effects
-- param model = null: model, only this model
-- param class = null: class, read-write class, under either name
-- param metric = "loss": choice(loss, entropy, rank, scale), what to measure by
-- param direction = "rises": choice(rises, falls), what the metric does without the neuron
-- param limit = 50: natural, rows at most
SELECT m.name AS model, n.name, k.name AS class, e.metric, e.mean,
       e.std, e.changed, e.n AS n_tokens,
       (SELECT a.mean FROM neuron_attributions a
        JOIN ablation_runs w ON w.run_id = a.run_id
        WHERE a.run_id = m.attribution_run_id AND a.metric = e.metric
          AND w.mode = r.mode AND COALESCE(w.condition, '') = COALESCE(r.condition, '')
          AND a.neuron_id = e.neuron_id) AS estimate,
       e.neuron_id
FROM models m
JOIN neuron_effects e ON e.run_id = m.each_run_id
JOIN ablation_runs r ON r.run_id = e.run_id
JOIN named_neurons n ON n.neuron_id = e.neuron_id
JOIN classes q ON q.neuron_id = n.neuron_id AND q.threshold = m.threshold
JOIN rw_classes k ON k.class_id = q.class_id
WHERE e.metric = CAST(:metric AS TEXT)
  AND (CAST(:class AS TEXT) IS NULL OR k.name = CAST(:class AS TEXT))
  AND (CAST(:model AS TEXT) IS NULL OR m.name = CAST(:model AS TEXT))
ORDER BY CASE CAST(:direction AS TEXT) WHEN 'rises' THEN e.mean ELSE -e.mean END NULLS LAST,
         e.neuron_id
LIMIT :limit
