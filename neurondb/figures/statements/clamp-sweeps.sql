-- title: A next token's probability while neurons are held
-- description: Of one sweep, or of those of one neuron, or else of the newest and those beside it of
--   the same prompt, a row for each neuron held; at step 0 none is, for the clean probability.
-- param model: model
-- param run = null: integer, one sweep
-- param layer = null: integer, with neuron
-- param neuron = null: integer, with layer
WITH newest AS (
    SELECT r.prompt, r.chat, r.hook, r.position
    FROM clamp_runs r
    JOIN models m ON m.model_id = r.model_id
    WHERE m.name = CAST(:model AS TEXT)
    ORDER BY r.run_id DESC
    LIMIT 1
)
SELECT s.run_id, s.name, s.token, s.step, s.value, s.probability
FROM clamp_sweeps s
LEFT JOIN newest w ON w.prompt = s.prompt AND w.chat = s.chat AND w.hook = s.hook
                  AND w.position = s.position
WHERE s.model = CAST(:model AS TEXT)
  AND CASE WHEN CAST(:layer AS INTEGER) IS NOT NULL
           THEN s.layer = CAST(:layer AS INTEGER) AND s.neuron = CAST(:neuron AS INTEGER)
           WHEN CAST(:run AS INTEGER) IS NOT NULL THEN s.run_id = CAST(:run AS INTEGER)
           ELSE w.prompt IS NOT NULL END
ORDER BY s.run_id, s.name, s.token_id, s.step
