-- title: Tokens that an ablation changed most
-- description: The tokens whose loss, entropy, rank or scale changed most when neurons were set
--   together, the newest run first, or of one run only: the metric clean and ablated, and where the
--   token stands; loss and rank are of the token after it. `neurondb ablate
--   --changed-tokens 20` shows them in their texts (METHODS §6).
-- needs: ablations
-- param run = null: natural, only this run
-- param metric = "loss": choice(loss, entropy, rank, scale), what changed
-- param model = null: model, only this model
-- param limit = 100: natural, rows at most
SELECT c.run_id, m.name AS model, COALESCE(s.name, SUBSTR(s.definition, 1, 60)) AS neurons,
       c.rank, c.clean - c.ablated AS difference, c.clean, c.ablated, v.token,
       d.name AS dataset, t.ordinal AS text, c.position, c.text_id
FROM ablation_runs r
JOIN models m ON m.model_id = r.model_id
JOIN neuron_sets s ON s.set_id = r.set_id
JOIN changed_tokens c ON c.run_id = r.run_id AND c.metric = CAST(:metric AS TEXT)
JOIN texts t ON t.text_id = c.text_id
JOIN dataset_rows d ON d.dataset_id = t.dataset_id
LEFT JOIN tokens v ON v.model_id = r.model_id AND v.token_id = c.token_id
WHERE (CAST(:run AS INTEGER) IS NULL OR c.run_id = CAST(:run AS INTEGER))
  AND (CAST(:model AS TEXT) IS NULL OR m.name = CAST(:model AS TEXT))
ORDER BY c.run_id DESC, c.rank
LIMIT :limit
