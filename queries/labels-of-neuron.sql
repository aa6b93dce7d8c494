-- title: A neuron on each part of a dataset
-- description: How often and how strongly one neuron acts on the texts of each label (sub-corpus,
--   language), where the dataset has labels; most often first (METHODS §5).
-- needs: activations, labels
-- param model: model, the model
-- param layer: natural, the neuron's layer
-- param neuron: neuron, its number within the layer, or EXPERT.NUMBER
SELECT l.label, s.n_tokens, s.freq, s.post_positive, s.pre_mean, s.pre_variance, s.post_mean,
       s.post_variance
FROM models m
JOIN label_stats s ON s.neuron_id = m.first_neuron_id + CAST(:layer AS INTEGER) * m.d_mlp
                                  + CAST(:neuron AS INTEGER)
                  AND s.dataset_id = m.dataset_id
JOIN labels l ON l.label_id = s.label_id
WHERE m.name = :model
  AND CAST(:layer AS INTEGER) < m.n_layers
  AND CAST(:neuron AS INTEGER) < m.d_mlp
ORDER BY COALESCE(s.freq, s.post_positive) DESC, l.label
