-- title: Correlation of gate frequency and cos(in, out) in every layer
-- description: Pearson's r over a layer's neurons between the share of tokens with x_gate > 0 and
--   cos(in, out) (published for OLMo-7B: at most −0.71 in all layers but the last two). For an
--   ungated model the frequency is the share of tokens with hook_post > 0.
-- needs: activations
-- param model = null: model, only this model
SELECT m.name AS model, n.layer, COUNT(*) AS n,
       CORR(COALESCE(a.freq, a.post_positive), c.in_out) AS pearson_r
FROM models m
JOIN neurons n ON n.model_id = m.model_id
JOIN cosines c ON c.neuron_id = n.neuron_id
JOIN activation_stats a ON a.neuron_id = n.neuron_id AND a.dataset_id = m.dataset_id
-- `+`: the index on in_out, which has nearly all neurons in another order, would be a detour.
WHERE +c.in_out IS NOT NULL AND COALESCE(a.freq, a.post_positive) IS NOT NULL
  AND (CAST(:model AS TEXT) IS NULL OR m.name = CAST(:model AS TEXT))
GROUP BY m.name, n.layer
ORDER BY m.name, n.layer
