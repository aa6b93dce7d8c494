-- title: Candidates for entropy neurons
-- description: Neurons of the last layers that write a lot, large ‖out‖, to little direct effect,
--   small variance of the logit effect cos(U, out): those first whose norm is largest for its
--   standard deviation. `null_share` is the share of ‖out‖ in the null directions of U, where it
--   was computed (universal-neurons §5.2, METHODS §4).
-- needs: vocab
-- param model = null: model, only this model
-- param layers = 2: natural, last layers to look at
-- param min_norm = 0: number, ‖out‖ at least
-- param max_variance = null: number, variance of cos(U, out) at most
-- param min_null_share = null: number, share of ‖out‖ in the null directions at least
-- param limit = 20: natural, rows at most
SELECT m.name AS model, n.name, n.out_norm, o.variance AS out_variance,
       o.dot_variance AS out_dot_variance, o.null_share,
       n.out_norm / SQRT(NULLIF(o.variance, 0)) AS score
FROM models m
JOIN named_neurons n ON n.model_id = m.model_id AND n.layer >= m.n_layers - CAST(:layers AS INTEGER)
JOIN vocab_stats o ON o.neuron_id = n.neuron_id AND o.vector = 'out'
WHERE n.out_norm >= :min_norm
  AND (CAST(:max_variance AS DOUBLE PRECISION) IS NULL
       OR o.variance <= CAST(:max_variance AS DOUBLE PRECISION))
  AND (CAST(:min_null_share AS DOUBLE PRECISION) IS NULL
       OR o.null_share >= CAST(:min_null_share AS DOUBLE PRECISION))
  AND (CAST(:model AS TEXT) IS NULL OR m.name = CAST(:model AS TEXT))
ORDER BY score DESC NULLS LAST, n.neuron_id
LIMIT :limit
