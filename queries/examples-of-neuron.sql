-- title: Texts on which a neuron is extreme
-- description: The stored examples of one neuron, strongest first, with the position of the token
--   (the prefix token has 0) and the start of the text.
-- param model: model, the model
-- param layer: integer, the neuron's layer
-- param neuron: integer, its number within the layer
-- param case = null: text, only this sign case, as gate-_in+
-- param quantity = "hook_post": text, hook_post, hook_pre_linear, hook_pre or swish
-- param chars = 120: integer, characters of each text
SELECT e.sign_case, e.quantity, e.rank, e.value, e.position, t.ordinal AS text_number,
       SUBSTR(t.text, 1, :chars) AS text
FROM models m
JOIN examples e ON e.neuron_id = m.first_neuron_id + CAST(:layer AS INTEGER) * m.d_mlp
                               + CAST(:neuron AS INTEGER)
               AND e.dataset_id = m.dataset_id
JOIN texts t ON t.text_id = e.text_id
WHERE m.name = :model
  AND CAST(:neuron AS INTEGER) < m.d_mlp
  AND e.quantity = :quantity
  AND (CAST(:case AS TEXT) IS NULL OR e.sign_case = CAST(:case AS TEXT))
ORDER BY e.sign_case, e.rank
