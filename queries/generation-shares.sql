-- title: Shares of samples with a text
-- description: What `neurondb generate --samples --count` counted, the newest first: the share of
--   samples that have a text in them, clean and with neurons held, each with Wilson's 95% interval,
--   and the steered share less the clean one (METHODS §6; specialised-feature-neurons §3.4).
-- needs: generations
-- param model = null: model, only this model
-- param run = null: integer, only this run
-- param limit = 100: natural, rows at most
SELECT s.run_id, s.model, s.prompt, s.counted, s.n, c.share AS clean, c.low AS clean_low,
       c.high AS clean_high, t.share AS steered, t.low AS steered_low, t.high AS steered_high,
       t.share - c.share AS difference
FROM (SELECT DISTINCT run_id, model, prompt, counted, n FROM generation_shares) s
LEFT JOIN generation_shares c ON c.run_id = s.run_id AND c.counted = s.counted AND c.run = 'clean'
LEFT JOIN generation_shares t ON t.run_id = s.run_id AND t.counted = s.counted
                             AND t.run = 'steered'
WHERE (CAST(:model AS TEXT) IS NULL OR s.model = CAST(:model AS TEXT))
  AND (CAST(:run AS INTEGER) IS NULL OR s.run_id = CAST(:run AS INTEGER))
ORDER BY s.run_id DESC, s.counted
LIMIT :limit
