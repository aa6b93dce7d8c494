-- title: The token properties that a neuron acts on
-- description: The properties whose tokens a neuron's `out` promotes or suppresses against all
--   others, the strongest first: the difference of the mean cosines with U, inside_mean −
--   outside_mean, in standard deviations of the neuron's cosines with all tokens; those below 0.5
--   are not stored (universal-neurons Fig. 5). `n_tokens` counts the tokens with the property.
-- needs: properties
-- param model: model, the model
-- param layer: natural, the neuron's layer
-- param neuron: neuron, its number within the layer, or EXPERT.NUMBER
SELECT p.name AS property, CASE WHEN e.effect < 0 THEN 'suppressed' ELSE 'promoted' END AS direction,
       e.effect, e.inside_mean, e.outside_mean,
       (SELECT COUNT(*) FROM token_property_rows t
        WHERE t.model_id = m.model_id AND t.property_id = p.property_id) AS n_tokens,
       p.description
FROM models m
JOIN property_effects e ON e.neuron_id = m.first_neuron_id + CAST(:layer AS INTEGER) * m.d_mlp
                                       + CAST(:neuron AS INTEGER)
JOIN properties p ON p.property_id = e.property_id
WHERE m.name = :model
  AND CAST(:layer AS INTEGER) < m.n_layers
  AND CAST(:neuron AS INTEGER) < m.d_mlp
ORDER BY ABS(e.effect) DESC, p.name
