-- title: Texts on which a neuron is extreme
-- description: The stored examples of one neuron, strongest first, with the position of the token
--   (the prefix token has 0) and how the text starts, wherever in it the position is:
--   `neurondb show` prints the text around it, the peak highlighted.
-- needs: activations
-- param model: model, the model
-- param layer: natural, the neuron's layer
-- param neuron: neuron, its number within the layer, or EXPERT.NUMBER
-- param case = null: choice(gate+_in+, gate+_in-, gate-_in+, gate-_in-, in+, in-), only this case
-- param quantity = "hook_post": choice(hook_post, hook_pre_linear, hook_pre, swish), of which value
-- param chars = 120: natural, characters of each text
SELECT e.sign_case, e.quantity, e.rank, e.value, e.position, t.ordinal AS text_number,
       SUBSTR(t.text, 1, :chars) AS text_start
FROM models m
JOIN examples e ON e.neuron_id = m.first_neuron_id + CAST(:layer AS INTEGER) * m.d_mlp
                               + CAST(:neuron AS INTEGER)
               AND e.dataset_id = m.dataset_id
JOIN texts t ON t.text_id = e.text_id
WHERE m.name = :model
  AND CAST(:layer AS INTEGER) < m.n_layers
  AND CAST(:neuron AS INTEGER) < m.d_mlp
  AND e.quantity = :quantity
  AND (CAST(:case AS TEXT) IS NULL OR e.sign_case = CAST(:case AS TEXT))
ORDER BY e.sign_case, e.rank
