-- title: Tokens that a neuron fires on, after and before
-- description: Of the texts on which one neuron is strongest, in each sign case, the tokens that
--   stand at the peak, before it (previous) and after it (next): in how many of the list's texts,
--   and hook_post in the strongest of them.
-- needs: activations, peaks
-- param model: model, the model
-- param layer: natural, the neuron's layer
-- param neuron: neuron, its number within the layer, or EXPERT.NUMBER
-- param case = null: choice(gate+_in+, gate+_in-, gate-_in+, gate-_in-, in+, in-), only this case
-- param place = null: choice(peak, previous, next), only this place
SELECT p.sign_case, p.place, p.rank, p.token, p.count, p.list_size, p.value
FROM models m
JOIN peak_tokens p ON p.neuron_id = m.first_neuron_id + CAST(:layer AS INTEGER) * m.d_mlp
                                  + CAST(:neuron AS INTEGER)
                  AND p.dataset_id = m.dataset_id
WHERE m.name = :model
  AND CAST(:layer AS INTEGER) < m.n_layers
  AND CAST(:neuron AS INTEGER) < m.d_mlp
  AND (CAST(:case AS TEXT) IS NULL OR p.sign_case = CAST(:case AS TEXT))
  AND (CAST(:place AS TEXT) IS NULL OR p.place = CAST(:place AS TEXT))
ORDER BY p.sign_case, p.place, p.rank
