-- title: Universal neurons by sign case
-- description: Of every layer of a run, for each sign case, the neurons that are in it at 20 tokens
--   or more: how many, their mean excess correlation, and how many are universal (above 0.5).
-- param model: model
-- param run = null: integer, by default the newest
SELECT x.run_id, x.layer, x.sign_case, COUNT(x.excess) AS n, AVG(x.excess) AS mean_excess,
       SUM(CASE WHEN x.excess > 0.5 THEN 1 ELSE 0 END) AS n_universal
FROM (
    SELECT u.run_id, u.layer, u.sign_case, u.neuron_id,
           AVG(u.correlation) - AVG(u.baseline) AS excess
    FROM neuron_universality_cases u
    WHERE u.run_id = (
        SELECT MAX(r.run_id)
        FROM universality_runs r
        JOIN models m ON m.model_id = r.model_id
        WHERE m.name = CAST(:model AS TEXT)
          AND (CAST(:run AS INTEGER) IS NULL OR r.run_id = CAST(:run AS INTEGER)))
    GROUP BY u.run_id, u.layer, u.sign_case, u.neuron_id
    HAVING MAX(u.n_tokens) >= 20 AND COUNT(u.correlation) > 0) x
GROUP BY x.run_id, x.layer, x.sign_case
ORDER BY x.layer, x.sign_case
