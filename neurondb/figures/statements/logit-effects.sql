-- title: Tokens by what a neuron does to their logits
-- description: Tokens in each bin of cos(U, out), and those of them that have the property
--   (`n_inside`), of a neuron, or of the most extreme prediction, suppression and partition neuron
--   of a model; by the property that explains most of the skewness of prediction and suppression
--   neurons, of the variance of others, or by another that is stored.
-- param model: model
-- param layer = null: integer, with neuron
-- param neuron = null: integer, with layer
-- param property = null: text, property of tokens
WITH kept AS (
    SELECT DISTINCT neuron_id FROM logit_effects WHERE model = CAST(:model AS TEXT)
), extreme AS (
    SELECT o.neuron_id, o.layer, o.neuron, o.role,
           ROW_NUMBER() OVER (PARTITION BY o.role ORDER BY
               CASE o.role WHEN 'partition' THEN o.out_variance ELSE o.out_kurtosis END DESC,
               o.neuron_id) AS place
    FROM kept k
    JOIN neuron_overview o ON o.neuron_id = k.neuron_id
), shown AS (
    SELECT neuron_id, role
    FROM extreme
    WHERE CASE WHEN CAST(:layer AS INTEGER) IS NULL THEN role IS NOT NULL AND place = 1
               ELSE layer = CAST(:layer AS INTEGER) AND neuron = CAST(:neuron AS INTEGER) END
), means AS (
    SELECT r.neuron_id, r.property, SUM(r.n_inside) * 1.0 / SUM(r.n) AS share,
           SUM((r.low + r.high) / 2 * r.n_inside) / SUM(r.n_inside)
           - SUM((r.low + r.high) / 2 * (r.n - r.n_inside)) / SUM(r.n - r.n_inside) AS difference
    FROM logit_effects r
    JOIN shown s ON s.neuron_id = r.neuron_id
    GROUP BY r.neuron_id, r.property
    HAVING SUM(r.n_inside) > 0 AND SUM(r.n_inside) < SUM(r.n)
), explained AS (
    -- Variance and third moment of two groups that lie at their means.
    SELECT m.neuron_id, m.property,
           ROW_NUMBER() OVER (PARTITION BY m.neuron_id ORDER BY
               m.share * (1 - m.share) * m.difference * m.difference
               * CASE WHEN s.role IN ('prediction', 'suppression')
                      THEN ABS((1 - 2 * m.share) * m.difference) ELSE 1 END DESC) AS place
    FROM means m
    JOIN shown s ON s.neuron_id = m.neuron_id
)
SELECT r.name, s.role, r.property, r.low, r.high, r.n, r.n_inside
FROM shown s
JOIN explained e ON e.neuron_id = s.neuron_id
                AND CASE WHEN CAST(:property AS TEXT) IS NULL THEN e.place = 1
                         ELSE e.property = CAST(:property AS TEXT) END
JOIN logit_effects r ON r.neuron_id = s.neuron_id AND r.property = e.property
ORDER BY CASE s.role WHEN 'prediction' THEN 0 WHEN 'suppression' THEN 1 ELSE 2 END, r.low
