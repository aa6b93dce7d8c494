-- title: Neurons taken out of heads' queries
-- description: The path ablations of `neurondb heads --dataset`, the largest change first: what
--   happens to the head's attention to BOS and to the norm of its output, in the mean over all
--   positions of second halves and over those where the neuron fires (METHODS §7).
-- needs: heads
-- param model = null: model, only this model
-- param limit = 100: natural, rows at most
SELECT model, name, head_name, dataset, score, standardised, n, n_firing, bos_attention, bos_change,
       output_norm, norm_change, firing_bos_attention, firing_bos_change, firing_output_norm,
       firing_norm_change, bos_correlation, norm_correlation
FROM head_effects
WHERE CAST(:model AS TEXT) IS NULL OR model = CAST(:model AS TEXT)
ORDER BY ABS(COALESCE(firing_bos_change, 0)) DESC, neuron_id, head_layer, head
LIMIT :limit
