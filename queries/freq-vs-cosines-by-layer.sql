-- title: Correlation of gate frequency and cos(in, out) in every layer
-- description: Pearson's r over a layer's neurons between the share of tokens with x_gate > 0 and
--   cos(in, out) (published for OLMo-7B: at most −0.71 in all layers but the last two). For an
--   ungated model the frequency is the share of tokens with hook_post > 0.
-- needs: activations
-- param model = null: model, only this model
WITH pairs AS (
    SELECT n.model_id, n.layer, COALESCE(a.freq, a.post_positive) AS x, c.in_out AS y
    FROM models m
    JOIN neurons n ON n.model_id = m.model_id
    JOIN cosines c ON c.neuron_id = n.neuron_id
    JOIN activation_stats a ON a.neuron_id = n.neuron_id AND a.dataset_id = m.dataset_id
    -- `+`: the index on in_out, which has nearly all neurons in another order, would be a detour.
    WHERE +c.in_out IS NOT NULL AND COALESCE(a.freq, a.post_positive) IS NOT NULL
      AND (CAST(:model AS TEXT) IS NULL OR m.name = CAST(:model AS TEXT))
), means AS (
    SELECT model_id, layer, AVG(x) AS x, AVG(y) AS y FROM pairs GROUP BY model_id, layer
), sums AS (
    SELECT p.model_id, p.layer, COUNT(*) AS n, SUM((p.x - e.x) * (p.y - e.y)) AS xy,
           SUM((p.x - e.x) * (p.x - e.x)) AS xx, SUM((p.y - e.y) * (p.y - e.y)) AS yy
    FROM pairs p
    JOIN means e ON e.model_id = p.model_id AND e.layer = p.layer
    GROUP BY p.model_id, p.layer
)
SELECT m.name AS model, s.layer, s.n, s.xy / NULLIF(SQRT(s.xx) * SQRT(s.yy), 0) AS pearson_r
FROM sums s
JOIN models m ON m.model_id = s.model_id
ORDER BY m.name, s.layer
