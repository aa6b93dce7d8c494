-- title: Neurons that may check the same thing twice
-- description: Neurons whose gate and in vectors have top tokens in common although
--   cos(gate, in) is near zero: the Jaccard overlap of the top tokens of gate with the top
--   (sign +) or the bottom (sign −) tokens of in, the better of the two (weakening-neurons, app. E).
--   Reads two token lists of every neuron: name a model, or a layer too, on a large database.
-- param model = null: model, only this model
-- param layer = null: natural, only this layer
-- param near_zero = 0.1: number, |cos(gate, in)| at most
-- param overlap = 0.1: number, Jaccard overlap at least
-- param limit = 50: natural, rows at most
WITH asked AS (
    SELECT n.neuron_id, n.layer, n.neuron, m.name AS model, c.gate_in
    FROM models m
    JOIN neurons n ON n.model_id = m.model_id
    JOIN cosines c ON c.neuron_id = n.neuron_id
    WHERE ABS(c.gate_in) <= :near_zero
      AND (CAST(:model AS TEXT) IS NULL OR m.name = CAST(:model AS TEXT))
      AND (CAST(:layer AS INTEGER) IS NULL OR n.layer = CAST(:layer AS INTEGER))
), gate_lists AS (
    SELECT list_id FROM token_lists
    WHERE vector = 'gate' AND basis = 'unembed' AND direction = 'top'
), in_lists AS (
    SELECT list_id, CASE direction WHEN 'top' THEN 1 ELSE -1 END AS sign FROM token_lists
    WHERE vector = 'in' AND basis = 'unembed'
), shared AS MATERIALIZED (
    -- + 0 keeps the planner from looking each token up in the index of all neurons' tokens
    SELECT a.neuron_id, l.sign,
           (SELECT COUNT(*) FROM top_token_rows i
            WHERE i.neuron_id = a.neuron_id AND i.list_id = l.list_id
              AND i.token_id + 0 IN (
                  SELECT g.token_id FROM top_token_rows g
                  WHERE g.neuron_id = a.neuron_id
                    AND g.list_id = (SELECT list_id FROM gate_lists))) AS n
    FROM asked a
    JOIN in_lists l ON 1 = 1
), sized AS (
    SELECT s.neuron_id, s.sign, s.n,
           (SELECT COUNT(*) FROM top_token_rows g
            WHERE g.neuron_id = s.neuron_id AND g.list_id = (SELECT list_id FROM gate_lists)) AS k
    FROM shared s
    WHERE s.n > 0
), ranked AS (
    SELECT neuron_id, sign, n, n / CAST(2 * k - n AS DOUBLE PRECISION) AS jaccard,
           ROW_NUMBER() OVER (PARTITION BY neuron_id ORDER BY n DESC, sign DESC) AS place
    FROM sized
)
SELECT a.model, a.layer || '.' || a.neuron AS name, a.gate_in,
       CASE r.sign WHEN 1 THEN '+' ELSE '-' END AS sign, r.n AS shared_tokens, r.jaccard
FROM ranked r
JOIN asked a ON a.neuron_id = r.neuron_id
WHERE r.place = 1 AND r.jaccard >= :overlap
ORDER BY r.jaccard DESC, a.neuron_id
LIMIT :limit
