-- title: Heads without a neuron, by its sign case
-- description: What taking a neuron out of the input of a head's query changes (METHODS §7), split by
--   the sign case that the neuron is in at the query's token, for the pairs of `neurondb heads`; the
--   strongest scores first. share is that of all positions measured.
-- needs: heads
-- param model = null: model, only this model
-- param layer = null: natural, only neurons of this layer
-- param neuron = null: neuron, only neurons of this number in their layer, or EXPERT.NUMBER
-- param case = null: choice(gate+_in+, gate+_in-, gate-_in+, gate-_in-, in+, in-), only this case
-- param limit = 100: natural, rows at most
SELECT model, name, head_name, score, sign_case, n, share, activation, bos_attention, bos_change,
       output_norm, norm_change
FROM head_effect_cases
WHERE (CAST(:model AS TEXT) IS NULL OR model = CAST(:model AS TEXT))
  AND (CAST(:layer AS INTEGER) IS NULL OR layer = CAST(:layer AS INTEGER))
  AND (CAST(:neuron AS INTEGER) IS NULL OR neuron = CAST(:neuron AS INTEGER))
  AND (CAST(:case AS TEXT) IS NULL OR sign_case = CAST(:case AS TEXT))
ORDER BY ABS(score) DESC, model, name, head_name, sign_case
LIMIT :limit
