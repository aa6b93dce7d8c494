-- title: A neuron by token
-- description: What one neuron does at, just after and just before the dataset's most frequent
--   tokens: of each place the tokens of largest |mean hook_post|, with the share of positions at
--   which it fires and the mean over all positions beside them (METHODS §5).
-- needs: activations
-- param model: model, the model
-- param layer: natural, the neuron's layer
-- param neuron: neuron, its number within the layer, or EXPERT.NUMBER
SELECT s.place, s.rank, s.token_id, s.token, s.mean, s.freq, s.n, a.post_mean AS mean_of_all
FROM models m
JOIN token_stats s ON s.neuron_id = m.first_neuron_id + CAST(:layer AS INTEGER) * m.d_mlp
                                  + CAST(:neuron AS INTEGER)
                  AND s.dataset_id = m.dataset_id
JOIN activation_stats a ON a.neuron_id = s.neuron_id AND a.dataset_id = s.dataset_id
WHERE m.name = :model
  AND CAST(:layer AS INTEGER) < m.n_layers
  AND CAST(:neuron AS INTEGER) < m.d_mlp
ORDER BY s.place, s.rank
