-- title: Dead neurons
-- description: Neurons whose gate never opened on any token of the dataset; of an ungated model,
--   those whose hook_post was never positive.
-- needs: activations
-- param model = null: model, only this model
SELECT m.name AS model, n.name, n.layer, k.name AS class, c.in_out,
       n.out_norm, a.n_tokens, a.post_mean
FROM models m
JOIN activation_stats a ON a.dataset_id = m.dataset_id
JOIN named_neurons n ON n.neuron_id = a.neuron_id AND n.model_id = m.model_id
LEFT JOIN cosines c ON c.neuron_id = n.neuron_id
LEFT JOIN classes q ON q.neuron_id = n.neuron_id AND q.threshold = m.threshold
LEFT JOIN rw_classes k ON k.class_id = q.class_id
WHERE (a.freq = 0 OR a.freq IS NULL AND a.post_positive = 0)
  AND (CAST(:model AS TEXT) IS NULL OR m.name = CAST(:model AS TEXT))
ORDER BY m.name, n.neuron_id
