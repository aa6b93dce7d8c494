-- title: The sign cases of a neuron
-- description: How often x_gate and x_in have which signs, and mean, minimum and maximum of what
--   the neuron does then (METHODS §5).
-- needs: activations
-- param model: model, the model
-- param layer: natural, the neuron's layer
-- param neuron: neuron, its number within the layer, or EXPERT.NUMBER
SELECT s.sign_case, s.freq, s.count, s.post_mean, s.post_min, s.post_max,
       s.pre_linear_mean, s.pre_linear_min, s.pre_linear_max,
       s.pre_mean, s.pre_min, s.pre_max, s.swish_mean, s.swish_min, s.swish_max
FROM models m
JOIN sign_cases s ON s.neuron_id = m.first_neuron_id + CAST(:layer AS INTEGER) * m.d_mlp
                                 + CAST(:neuron AS INTEGER)
                 AND s.dataset_id = m.dataset_id
WHERE m.name = :model
  AND CAST(:layer AS INTEGER) < m.n_layers
  AND CAST(:neuron AS INTEGER) < m.d_mlp
ORDER BY s.sign_case
