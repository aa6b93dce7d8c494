-- title: Texts that were generated
-- description: The texts that `neurondb generate` stored, the newest first: as the model is (clean),
--   and with neurons held (steered), how many of them; of samples the first few (METHODS §6).
-- needs: generations
-- param model = null: model, only this model
-- param run = null: integer, only this run
-- param samples = 3: natural, samples of each run at most
-- param limit = 100: natural, rows at most
SELECT g.run_id, g.model, g.prompt, g.run, g.n_held, g.ablated, g.n_samples, g.seed, g.text,
       g.n_tokens, g.ended
FROM generations g
JOIN generation_runs r ON r.run_id = g.run_id
WHERE g.seed - r.seed < :samples
  AND (CAST(:model AS TEXT) IS NULL OR g.model = CAST(:model AS TEXT))
  AND (CAST(:run AS INTEGER) IS NULL OR g.run_id = CAST(:run AS INTEGER))
ORDER BY g.run_id DESC, g.run, g.seed
LIMIT :limit
