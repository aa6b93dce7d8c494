-- title: Attribute rates that were measured
-- description: The runs of `neurondb attributes rate`, the newest first: the neurons ablated, and
--   the mean over layers of the clean rate, of its change, and of the random draws' (METHODS §6).
-- needs: attributes
-- param model = null: model, only this model
-- param limit = 100: natural, rows at most
SELECT a.run_id, a.model, r.prompts, r.sets, r.n_prompts, r.definition, r.n_ablated, r.mode,
       r.condition, AVG(CASE WHEN a.run = 'clean' THEN a.rate END) AS clean_rate,
       AVG(CASE WHEN a.run = 'ablated' THEN a.rate END)
       - AVG(CASE WHEN a.run = 'clean' THEN a.rate END) AS change,
       AVG(CASE WHEN a.run = 'baseline' THEN a.rate END)
       - AVG(CASE WHEN a.run = 'clean' THEN a.rate END) AS baseline_change,
       COUNT(DISTINCT a.draw) AS draws,
       MAX(CASE WHEN a.run = 'clean' THEN a.answer_probability END) AS clean_answer,
       MAX(CASE WHEN a.run = 'ablated' THEN a.answer_probability END) AS ablated_answer,
       AVG(CASE WHEN a.run = 'baseline' THEN a.answer_probability END) AS baseline_answer
FROM attribute_rates a
JOIN attribute_runs r ON r.run_id = a.run_id
WHERE CAST(:model AS TEXT) IS NULL OR a.model = CAST(:model AS TEXT)
GROUP BY a.run_id, a.model, r.prompts, r.sets, r.n_prompts, r.definition, r.n_ablated, r.mode,
         r.condition
ORDER BY a.run_id DESC
LIMIT :limit
