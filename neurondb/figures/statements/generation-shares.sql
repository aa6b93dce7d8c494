-- title: Shares of samples that have a text in them
-- description: Of each text that was counted, the share of samples of each run, clean and steered,
--   with Wilson's 95% interval.
-- param model: model
-- param run = null: integer, by default the newest in which something was counted
SELECT run_id, counted, run, n, hits, share, low, high
FROM generation_shares
WHERE run_id = (
    SELECT MAX(run_id)
    FROM generation_shares
    WHERE model = CAST(:model AS TEXT)
      AND (CAST(:run AS INTEGER) IS NULL OR run_id = CAST(:run AS INTEGER)))
ORDER BY counted, run
