-- title: Histogram of a quantity of a neuron
-- description: The counts of the 60 bins of `neurondb.histogram`, packed as LEB128 integers.
-- param model: model
-- param layer: integer
-- param neuron: integer
-- param quantity = "post": choice(post, pre, pre_linear)
-- param dataset = null: text, by default the one that neuron_overview shows
SELECT q.quantity, h.counts
FROM models m
JOIN neurons n ON n.model_id = m.model_id AND n.layer = :layer AND n.neuron = :neuron
JOIN activation_histograms h ON h.neuron_id = n.neuron_id AND h.dataset_id = COALESCE(
    (SELECT d.dataset_id FROM datasets d WHERE d.name = CAST(:dataset AS TEXT)), m.dataset_id)
JOIN quantities q ON q.quantity_id = h.quantity_id
WHERE m.name = CAST(:model AS TEXT) AND q.quantity = 'hook_' || CAST(:quantity AS TEXT)
